"""What a host sets and presses: parameters and musical moves. They may be called from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from queue import SimpleQueue

from melodygen.engine.call_response import CallResponse
from melodygen.engine.parameters import Parameter, Parameters, Value
from melodygen.engine.phrase_queue import PhraseQueue
from melodygen.engine.writer import drained
from melodygen.errors import UsageError
from melodygen.live.playhead import Playhead
from melodygen.music.score import ROLES


class HostControls(ABC):
    """The half of the engine that a host's controls reach. What they ask for is done by ``Engine.process``, which runs
    the commands that are put into ``_commands`` here.
    """

    _parameters: Parameters
    _commands: SimpleQueue[Callable[[], None]]
    _notices: SimpleQueue[str]
    _queue: PhraseQueue
    _call_response: CallResponse
    _head: Playhead

    def parameters(self) -> tuple[Parameter, ...]:
        """Return every parameter with its range, default, unit and when it may change."""
        return tuple(self._parameters.table.values())

    def parameter_value(self, name: str) -> Value:
        """Return the present value of a parameter. Raises UsageError for an unknown name."""
        self._parameters.parameter(name)
        return self._parameters[name]

    def set_parameter(self, name: str, value: Value) -> None:
        """Set a parameter. Raises UsageError for an unknown name, a value out of range, or one that cannot
        change now.
        """
        parameter = self._parameters.parameter(name)
        if not parameter.while_playing and self._head.is_playing:
            raise UsageError(f"{name} cannot change while the transport plays; stop it first")
        if not self._parameters.set(name, value):
            return
        if name == "style":
            self._commands.put(self._change_style)
        elif parameter.rewrites:
            self._commands.put(self._rewrite)

    def notices(self) -> list[str]:
        """Return the messages since the last call, for example about a failed phrase or an odd loop."""
        return drained(self._notices)

    # musical moves, all heard at the next bar line unless said otherwise

    def next_phrase(self) -> None:
        """Go on to the next phrase at the next bar line."""
        self._commands.put(self._leave)

    def loop_phrase(self, on: bool) -> None:
        """Repeat the phrase that plays until this is switched off."""
        self._commands.put(lambda: setattr(self._queue, "looping", on))

    def freeze(self, on: bool) -> None:
        """Write nothing new; the last phrases repeat."""
        self._commands.put(lambda: setattr(self._queue, "frozen", on))

    def mute(self, role: str, on: bool) -> None:
        """Silence a role, or let it sound, at once."""
        if role not in ROLES:
            raise UsageError(f"role {role!r} is not one of {', '.join(ROLES)}")
        self._commands.put(lambda: self._mute(role, on))

    def vary(self) -> None:
        """Write part of the phrase that plays again, and play that next."""
        self._commands.put(self._vary)

    def undo(self) -> None:
        """Go back to the phrase before, at the next bar line."""
        self._commands.put(self._undo)

    def end_call(self) -> None:
        """End the call that comes in: the answer begins on the next quarter."""
        self._commands.put(self._call_response.midi_input.finish)

    @abstractmethod
    def _change_style(self) -> None: ...

    @abstractmethod
    def _rewrite(self) -> None: ...

    @abstractmethod
    def _leave(self) -> None: ...

    @abstractmethod
    def _mute(self, role: str, on: bool) -> None: ...

    @abstractmethod
    def _vary(self) -> None: ...

    @abstractmethod
    def _undo(self) -> None: ...


__all__ = ["HostControls"]
