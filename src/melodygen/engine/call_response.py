"""Call and response: what was asked for an answer, what is written, and when it is due.

While the player plays, answers to what there is so far are written on trial; the newest of them is played when the
phrase is over. So an answer begins in time even where the one to the whole phrase is not written yet.
"""

from __future__ import annotations

from melodygen.engine.midi_input import Call, MidiInput
from melodygen.engine.phrase import Phrase
from melodygen.engine.writer import PhraseRequest


class CallResponse:
    """``due`` is the call that is over and waits for its answer."""

    def __init__(self) -> None:
        self.midi_input = MidiInput()
        self.due: Call | None = None
        self._asked: dict[int, Call] = {}
        """By the seed of the task."""
        self._draft: tuple[Call, Phrase] | None = None

    @property
    def has_draft(self) -> bool:
        return self._draft is not None

    def advance(self, position: float, rest_quarters: float) -> Call | None:
        """Once a block, ``position`` being its end: a call to write an answer to, on trial."""
        draft = self.midi_input.draft(position)
        if draft is not None and self._draft is not None and self._draft[0].number != draft.number:
            self._draft = None
        ended = self.midi_input.ended(position, rest_quarters)
        if ended is not None:
            self.due = ended
        return draft

    def asked(self, task: PhraseRequest, call: Call) -> None:
        """An answer to ``call`` was requested."""
        self._asked[task.seed] = call

    def take(self, task: PhraseRequest, phrase: Phrase) -> None:
        """It is written: kept if it answers more of the call than what there is."""
        call = self._asked.pop(task.seed, None)
        if call is None:
            return
        if self._draft is None or len(call.notes) >= len(self._draft[0].notes):
            self._draft = call, phrase

    def answer(self) -> Phrase | None:
        """The answer that is due, once; None if nothing is written yet."""
        if self.due is None or self._draft is None or self._draft[0].number != self.due.number:
            return None
        phrase = self._draft[1]
        self.forget()
        return phrase

    def forget(self) -> None:
        """Nobody is to answer what was played so far."""
        self.due, self._draft = None, None
        self._asked.clear()
