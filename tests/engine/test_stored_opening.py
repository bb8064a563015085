"""Stored openings: they are what is asked for or not there at all, and what is written goes on from them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from livehost import Scribe

from melodygen.engine import Engine, Phrase, PhraseRequest
from melodygen.engine.stored_opening import PER_STYLE, stored_opening
from melodygen.live.transport import Block, Transport
from melodygen.request import Request
from melodygen.styles.loader import built_in_styles

JAZZ = Request("jazz", 4, qpm=120.0, meter=(4, 4), tracks=("melody", "bass"))


@pytest.mark.parametrize("style", built_in_styles())
def test_every_built_in_style_has_some_that_fit_it(style: str) -> None:
    usual = built_in_styles()[style]
    request = Request(style, 1, qpm=usual.qpm, meter=usual.meter, tracks=usual.tracks)
    heard = set()
    for seed in range(PER_STYLE):
        phrase = stored_opening(request, seed)
        assert phrase is not None and phrase.is_stored and phrase.meter == usual.meter
        assert 3 <= phrase.request.bars <= 4 and phrase.score.qpm == usual.qpm
        assert {t.role for t in phrase.score.tracks if len(t)} == set(usual.tracks)
        first_beat = min(int(t.notes["onset_tick"].min()) for t in phrase.score.tracks)
        assert first_beat < phrase.score.ticks_per_quarter, "it begins at once"
        heard.add(phrase.score.tracks[0].notes.tobytes())
        again = stored_opening(request, seed)
        assert again is not None and again.score == phrase.score, "a seed is one phrase"
    assert len(heard) == PER_STYLE


def test_it_is_in_the_key_and_for_the_tracks_that_are_asked_for() -> None:
    plain = stored_opening(JAZZ, 0)
    assert plain is not None and [t.role for t in plain.score.tracks] == ["melody", "bass"]
    own = plain.score.key_signatures[0]
    moved = stored_opening(replace(JAZZ, key=((own.tonic + 2) % 12, own.mode)), 0)
    assert moved is not None and moved.score.key_signatures[0].tonic == (own.tonic + 2) % 12
    for before, after in zip(plain.score.tracks, moved.score.tracks, strict=True):
        assert (after.notes["pitch"].astype(int) - before.notes["pitch"] == 2).all()


@pytest.mark.parametrize(
    "asked",
    [
        {"density": 0.9}, {"leap": 3}, {"syncopation": 0.1}, {"temperature": 0.5}, {"meter": (7, 8)},
        {"tracks": ("melody", "other")}, {"style": "polka"}, {"style": "jazz:0.5,folk:0.5"},
    ],
)  # fmt: skip
def test_there_is_none_where_something_else_is_asked_for(asked: dict[str, Any]) -> None:
    assert stored_opening(replace(JAZZ, **asked), 0) is None


class Loading(Scribe):
    """Writes nothing before it is told to, and keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded, self.asked = threading.Event(), list[PhraseRequest]()

    def write(self, task: PhraseRequest) -> Phrase:
        self.asked.append(task)
        assert self.loaded.wait(20)
        return super().write(task)


def test_it_plays_at_once_and_what_is_written_goes_on_from_it() -> None:
    opening = stored_opening(JAZZ, 0)
    assert opening is not None
    writer = Loading()
    engine = Engine(writer, first_phrase=opening, style="jazz", tracks="melody,bass")
    engine.prepare(1_000, 500)
    assert engine.is_ready

    def play(first: int, blocks: int) -> list[tuple[int, ...]]:
        """Blocks of a quarter."""
        found = []
        for quarter in range(first, first + blocks):
            found += [e.message for e in engine.process(Transport(float(quarter), 120.0, True), Block(500))]
        return found

    sent = play(0, 4)
    assert any(message[0] & 0xF0 == 0x90 for message in sent) and engine.status.is_stored
    writer.loaded.set()
    until = time.monotonic() + 20
    quarter = 4
    while (len(writer.asked) < 2 or not engine.status.num_ready) and time.monotonic() < until:
        play(quarter, 1)
        quarter += 1 if quarter < 14 else 0  # the last quarters of the opening wait for it
        time.sleep(0.005)
    play(quarter, 20 - quarter)
    assert writer.asked[0].request.prompt is opening.score and not writer.asked[0].quick
    assert not engine.status.is_stored and engine.status.num_repeats == 0
    engine.close()
