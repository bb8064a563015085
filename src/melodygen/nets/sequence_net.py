"""What sampling needs of a sequence net."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class SequenceNet(Protocol):
    """What sampling needs of a net; see nets.writing."""

    context: int

    def new_state(self, batch: int, capacity: int) -> Any: ...

    def step(self, ids: Tensor, state: Any, at: int, starts: Tensor | None = None) -> Tensor: ...

    def merge_states(self, states: list[Any], lengths: list[int], capacity: int) -> Any: ...

    def keep_rows(self, state: Any, rows: list[int]) -> Any: ...
