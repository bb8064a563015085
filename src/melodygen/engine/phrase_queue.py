"""Phrases that wait to be played, phrases that were played, and the rule by which one follows another."""

from __future__ import annotations

from collections import deque

from melodygen.engine.phrase import Phrase

MAX_HISTORY = 16
FROZEN_PHRASES = 4
"""Number of the last phrases that repeat while frozen."""
Meter = tuple[int, int]


class PhraseQueue:
    """The phrases in order.

    ``state`` tells how the last phrase came: playing, repeating, resting, or waiting (nothing was ever
    written).
    """

    def __init__(self) -> None:
        self.ready: deque[Phrase] = deque()
        self.spares: dict[str, Phrase] = {}
        """A phrase in each of some styles, for a change to them."""
        self.looping = False
        self.frozen = False
        self.leaving = False
        """The next phrase was asked for: it goes before a loop."""
        self.state = "stopped"
        self.num_laid = self.num_repeats = self.num_gaps = 0
        self._history: list[Phrase] = []
        self._at = -1

    @property
    def current(self) -> Phrase | None:
        """The phrase that was placed last."""
        return self._history[self._at] if self._history else None

    @property
    def newest(self) -> Phrase | None:
        """The phrase that the next one continues."""
        return self.ready[-1] if self.ready else self.current

    def has(self, meter: Meter) -> bool:
        """Return whether a phrase in ``meter`` is ready."""
        return any(p.meter == meter for p in self.ready)

    def follow(self, meter: Meter) -> Phrase | None:
        """Return the phrase to place now because it is written or requested; None where there is none."""
        current = self._in(meter)
        if self.looping and current is not None and not (self.leaving and self.ready):
            self.state = "playing"
            return current
        while self.ready:
            phrase = self.ready.popleft()
            if phrase.meter == meter:
                self.remember(phrase)
                return phrase
        if self.frozen and current is not None:
            recent = [p for p in self._history[-FROZEN_PHRASES:] if p.meter == meter]
            at = (recent.index(current) + 1) % len(recent) if current in recent else 0
            self._at = self._history.index(recent[at])
            self.state = "playing"
            return recent[at]
        return None

    def fill_gap(self, meter: Meter, repeat: bool) -> Phrase | None:
        """Return the last phrase again, or None for a rest, where nothing is written in time."""
        current = self._in(meter)
        if current is not None and repeat:
            self.state = "repeating"
            self.num_repeats += 1
            return current
        self.state = "resting" if self._history else "waiting"
        self.num_gaps += bool(self._history)
        return None

    def enter(self, is_music: bool) -> None:
        """Note that a stretch begins, laid now or before: one that is played again is playing as well."""
        if is_music and self.state not in ("playing", "repeating"):
            self.state = "playing"
        elif not is_music and self.state in ("playing", "repeating"):
            self.state = "resting"

    def remember(self, phrase: Phrase) -> None:
        """Record that a phrase is played now."""
        self.state = "playing"
        self.leaving = False
        self.num_laid += 1
        if phrase in self._history:  # come back to by undo
            self._at = self._history.index(phrase)
            return
        self._history.append(phrase)
        del self._history[:-MAX_HISTORY]
        self._at = len(self._history) - 1

    def undo(self) -> bool:
        """Make the phrase before this one the next, and return whether there is one."""
        if self._at <= 0:
            return False
        before = self._history[self._at - 1]
        self.ready = deque([before, *(p for p in self.ready if p is not before)])
        return True

    def _in(self, meter: Meter) -> Phrase | None:
        current = self.current
        return current if current is not None and current.meter == meter else None
