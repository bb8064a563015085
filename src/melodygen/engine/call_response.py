"""Call and response: which call needs an answer, which answers are written, and when one is due.

While the player plays, answers to the notes so far are written on trial. The newest of them is played when
the call is over, so an answer begins in time even where the one to the whole call is not written yet.
"""

from __future__ import annotations

from melodygen.engine.midi_input import Call, MidiInput
from melodygen.engine.phrase import Phrase
from melodygen.engine.writer import PhraseRequest


class CallResponse:
    """Keeps track of calls and their answers. ``due`` is the call that is over and waits for its answer."""

    def __init__(self) -> None:
        self.midi_input = MidiInput()
        self.due: Call | None = None
        self._asked: dict[int, Call] = {}
        """By the seed of the task."""
        self._draft: tuple[Call, Phrase] | None = None

    @property
    def has_draft(self) -> bool:
        """Whether an answer on trial is written."""
        return self._draft is not None

    def advance(self, position: float, rest_quarters: float) -> Call | None:
        """Advance by a block that ends at ``position`` and return a call to write a trial answer to, or
        None.
        """
        draft = self.midi_input.draft(position)
        if draft is not None and self._draft is not None and self._draft[0].number != draft.number:
            self._draft = None
        ended = self.midi_input.ended(position, rest_quarters)
        if ended is not None:
            self.due = ended
        return draft

    def asked(self, task: PhraseRequest, call: Call) -> None:
        """Record that an answer to ``call`` was requested."""
        self._asked[task.seed] = call

    def take(self, task: PhraseRequest, phrase: Phrase) -> None:
        """Take a written answer; it is kept if it answers at least as much of the call as the one before."""
        call = self._asked.pop(task.seed, None)
        if call is None:
            return
        if self._draft is None or len(call.notes) >= len(self._draft[0].notes):
            self._draft = call, phrase

    def answer(self) -> Phrase | None:
        """Return the answer that is due, once; None if none is written yet."""
        if self.due is None or self._draft is None or self._draft[0].number != self.due.number:
            return None
        phrase = self._draft[1]
        self.forget()
        return phrase

    def forget(self) -> None:
        """Drop the call and its answers."""
        self.due, self._draft = None, None
        self._asked.clear()
