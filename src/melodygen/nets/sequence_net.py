"""The interface that sampling needs of a sequence net.

Letters: B batch, T steps, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor


class SequenceNet(Protocol):
    """A net that writes token by token. ``context`` is the largest number of tokens it can look back on.

    ``TransformerDecoder`` and ``Lstm`` have this interface.
    """

    context: int

    def new_state(self, batch: int, capacity: int) -> Any:
        """Return an empty state for ``batch`` rows of at most ``capacity`` tokens."""
        ...

    def step(self, ids: Tensor, state: Any, at: int, starts: Tensor | None = None) -> Tensor:
        """Feed ids (B, T) at position ``at`` and return the logits (B, V) of the next token.

        The state is changed in place. ``starts`` (B,) is the first position each row uses, for rows of
        unequal length that end at the same position.
        """
        ...

    def merge_states(self, states: list[Any], lengths: list[int], capacity: int) -> Any:
        """Return one state made from states of one row each, whose rows hold ``lengths`` tokens."""
        ...

    def keep_rows(self, state: Any, rows: list[int]) -> Any:
        """Return the state of the given rows only."""
        ...
