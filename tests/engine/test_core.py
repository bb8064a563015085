"""The engine under a test host: blocks of 32 to 4096 samples with tempo changes, loops, jumps and stops."""

from __future__ import annotations

import math
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livehost import RATE, Change, Host, Scribe, unbalanced

from melodygen.engine import Engine, Phrase, PhraseRequest, ProcessWriter
from melodygen.engine.phrase import place
from melodygen.engine.writer import Abandoned
from melodygen.errors import UsageError
from melodygen.generation.performance import swung
from melodygen.live.transport import Block, MidiEvent, Transport

PLAY = Change(0, playing=True)


def offline(**parameters: object) -> Engine:
    engine = Engine(Scribe(), offline=True, bars_per_phrase=2, **parameters)  # type: ignore[arg-type]
    engine.prepare(RATE, 4096)
    return engine


quarters = st.fractions(min_value=0, max_value=40, max_denominator=24)
changes = st.builds(
    Change,
    sample=st.integers(0, 22_000),
    qpm=st.none() | st.integers(60, 900),
    playing=st.none() | st.booleans() | st.just(True),
    jump=st.none() | quarters,
    loop=st.none()
    | st.tuples(quarters, st.fractions(min_value=Fraction(1, 24), max_value=9, max_denominator=24)).map(
        lambda t: (t[0], t[0] + t[1])
    ),
    meter=st.none() | st.sampled_from([(4, 4), (3, 4), (6, 8)]),
)


@settings(max_examples=25, deadline=None)
@given(
    script=st.lists(changes, max_size=8),
    sizes=st.lists(st.integers(32, 4096), min_size=1, max_size=5),
    humanize=st.sampled_from([0.0, 1.0]),
)
def test_any_host(script: list[Change], sizes: list[int], humanize: float) -> None:
    """Whatever the host does: notes are balanced, nothing leaves its block, and the cut into blocks is not heard."""
    script = [Change(0, qpm=480, playing=True), *script, Change(23_000, playing=False)]
    heard = [
        Host(script, 24_000).run(offline(humanize=humanize), cut).events for cut in ([24_000], [32], sizes)
    ]
    assert not unbalanced(heard[0])
    assert heard[0] == heard[1] == heard[2]


@pytest.mark.parametrize("qpm", [40, 97, 120, 233])
def test_note_ons_lie_where_the_music_says(qpm: int) -> None:
    """Against exact fractions: each onset is on the first sample at or after its time."""
    scribe = Scribe()
    engine = Engine(scribe, offline=True, bars_per_phrase=1)
    engine.prepare(RATE, 4096)
    got = [
        (s, m[1])
        for s, m in Host([Change(0, qpm=qpm, playing=True)], 400_000).run(engine, [441]).notes()
        if m[0] == 0x90
    ]
    per_quarter = Fraction(RATE * 60, qpm)
    want = []
    for bar, order in enumerate(list(scribe.orders)):
        for note in scribe.write(order).score.tracks[0]:
            sample = math.ceil((bar * 4 + Fraction(note.onset_tick, 480)) * per_quarter)
            want.append((sample, note.pitch))
    want = sorted(set(w for w in want if w[0] < 400_000))
    assert got and sorted(set(got)) == want


def test_going_back_plays_the_same() -> None:
    back = Host([PLAY, Change(RATE * 4, jump=Fraction(0))], RATE * 8).run(offline(), [512]).notes()
    first = [(s, m) for s, m in back if s < RATE * 4 and m[0] == 0x90]
    again = [(s - RATE * 4, m) for s, m in back if s >= RATE * 4 and m[0] == 0x90]
    assert first and first == again


def test_loop_inside_a_block_plays_the_range_again() -> None:
    loop = (Fraction(2), Fraction(3))
    host = Host([Change(0, playing=True, loop=loop)], RATE * 4).run(offline(), [RATE * 4])
    ons = [(s, m) for s, m in host.notes() if m[0] & 0xF0 == 0x90]
    second = RATE // 2  # a quarter at 120
    starts = range(RATE, RATE * 4, second)
    rounds = [[(s - start, m) for s, m in ons if start <= s < start + second] for start in starts]
    assert rounds[0] and all(r == rounds[0] for r in rounds)
    assert not unbalanced(host.events) - {(e[1][0] & 15, e[1][1]) for e in ons}


def test_host_that_rounds_at_the_loop_end_does_not_fall_out_of_the_loop() -> None:
    """The block begins a hair before the loop's end; the note behind the end must not be heard."""
    engine = offline()
    per_block = 480 / 24_000
    heard = []
    position = 0.0
    for _ in range(400):
        at = 4.0 - 1e-12 if position == 0.0 and heard else position
        heard += engine.process(Transport(at, loop=(0.0, 4.0)), Block(480))
        position = round(position + per_block, 9) % 4.0
    ons_heard = [e.message for e in heard if e.message[0] == 0x90]
    assert len(ons_heard) % 2 == 0 and ons_heard[: len(ons_heard) // 2] == ons_heard[len(ons_heard) // 2 :]


def test_loop_of_odd_length_is_said_once() -> None:
    engine = offline()
    Host([Change(0, playing=True, loop=(Fraction(0), Fraction(7, 2)))], RATE * 8).run(engine, [512])
    assert engine.notices() == ["the host loops 0.875 bars, not whole ones: phrases are cut at its end"]


def test_stop_inside_a_block_ends_all_notes_there() -> None:
    host = Host([PLAY, Change(30_001, playing=False)], 60_000).run(offline(), [60_000])
    assert not unbalanced(host.events)
    assert max(s for s, _ in host.events) == 30_001


def test_tempo_ramp_in_steps_keeps_the_grid() -> None:
    """A ramp of 90 -> 140 in steps of one sample block: onsets stay in order and none is lost."""
    ramp = [PLAY, *(Change(i * 480, qpm=90 + i // 4) for i in range(200))]
    host = Host(ramp, 96_000).run(offline(), [64])
    flat = Host([PLAY], 400_000).run(offline(), [64])
    pitches = [m[1] for _, m in host.notes() if m[0] == 0x90]
    assert pitches == [m[1] for _, m in flat.notes() if m[0] == 0x90][: len(pitches)]
    assert len(pitches) > 8


class Gate(Scribe):
    """Writes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Semaphore(0)

    def write(self, order: PhraseRequest) -> Phrase:
        assert self.open.acquire(timeout=20)
        return super().write(order)


class LiveActions:
    """The engine in real time: blocks of 10 ms, one after the other, as fast as they are made."""

    def __init__(self, writer: Scribe | None = None, **parameters: object) -> None:
        self.writer = writer or Gate()
        self.engine = Engine(self.writer, bars_per_phrase=1, **{"opening": False, **parameters})  # type: ignore[arg-type]
        self.engine.prepare(RATE, 480)
        self.position = 0.0
        self.events: list[tuple[float, tuple[int, ...]]] = []

    def bars(
        self, count: float, midi_in: dict[float, tuple[int, ...]] | None = None
    ) -> list[tuple[float, tuple[int, ...]]]:
        """Play on; what came, by position in quarters."""
        start = len(self.events)
        for _ in range(round(count * 4 * 50)):
            heard = tuple(MidiEvent(0, m) for q, m in sorted((midi_in or {}).items())
                          if self.position - 1e-6 <= q < self.position + 0.02 - 1e-6)  # fmt: skip
            got = self.engine.process(Transport(self.position), Block(480, heard))
            self.events += [(self.position + e.offset / 24_000, e.message) for e in got]
            self.position = round(self.position + 0.02, 6)
        return self.events[start:]

    def let_write(self, count: int = 1) -> None:
        """Let the worker finish phrases, and wait until it has."""
        before = len(self.writer.orders)
        for _ in range(count):
            self.writer.open.release()  # type: ignore[attr-defined]
        self.wait(lambda: len(self.writer.orders) >= before + count)

    def written(self) -> None:
        """Wait until nothing waits to be written: the last order is in hand, or done."""
        self.wait(lambda: not self.engine._worker._tasks.qsize())

    @staticmethod
    def wait(ready: object) -> None:
        until = time.monotonic() + 10
        while not ready():  # type: ignore[operator]
            assert time.monotonic() < until, "the worker does not come"
            time.sleep(0.002)
        time.sleep(0.02)


def ons(events: list[tuple[float, tuple[int, ...]]], channel: int = 0) -> list[tuple[float, int]]:
    return [(q, m[1]) for q, m in events if m[0] == 0x90 | channel]


def test_late_worker_repeats_and_never_bursts() -> None:
    stage = LiveActions()
    assert not ons(stage.bars(1.5)), "nothing is written yet"
    assert stage.engine.status.state == "waiting"
    stage.let_write()
    late = stage.bars(0.5)
    assert not ons(late), "a phrase begins at a bar line, not when it happens to be ready"
    first = ons(stage.bars(1))
    again = ons(stage.bars(1))
    assert stage.engine.status.state == "repeating"
    assert first and [(round(q - 4, 3), p) for q, p in again] == [(round(q, 3), p) for q, p in first]
    stage.let_write()
    fresh = ons(stage.bars(1))
    assert [p for _, p in fresh] != [p for _, p in first] and stage.engine.status.state == "playing"
    unbalanced([(0, m) for _, m in stage.events])
    counts = np.histogram([q for q, _ in ons(stage.events)], bins=np.arange(0, 20))[0]
    assert counts.max() <= 4, "never more onsets in a quarter than are written"


def test_a_stretch_that_is_played_again_is_playing() -> None:
    stage = LiveActions()
    stage.bars(0.1)
    stage.let_write()
    stage.bars(1.9)
    assert ons(stage.events) and stage.engine.status.state != "stopped"
    stage.engine.process(Transport(stage.position, 120.0, False), Block(480))
    assert stage.engine.status.state == "stopped"
    stage.position = 4.0
    assert ons(stage.bars(0.5)) and stage.engine.status.state in ("playing", "repeating")


def test_late_worker_rests_when_told_to() -> None:
    stage = LiveActions(late="rest")
    stage.bars(0.1)
    stage.let_write()
    stage.bars(0.9)
    assert ons(stage.bars(1)) and not ons(stage.bars(1))
    assert stage.engine.status.state == "resting"


def test_process_does_not_wait_for_the_writer() -> None:
    stage = LiveActions()
    started = time.perf_counter()
    stage.bars(4)
    assert time.perf_counter() - started < 5, "800 blocks while the writer is shut"


def test_style_changes_at_the_next_bar_line_once_written() -> None:
    stage = LiveActions()
    stage.engine.set_parameter("bars_per_phrase", 4)
    stage.bars(0.05)
    stage.let_write()
    stage.bars(0.95)
    stage.bars(1.5)
    stage.written()  # the next is in hand
    stage.engine.set_parameter("style", "blues")
    stage.bars(0.1)
    assert stage.writer.abandoned
    stage.let_write(2)  # the one that was in hand is dropped
    stage.bars(0.4)
    changed = stage.bars(1)
    programs = [(round(q, 2), m) for q, m in changed if m[0] == 0xC0]
    assert programs == [(12.0, (0xC0, 1))] and stage.engine.status.style == "blues"
    unbalanced([(0, m) for _, m in stage.events])


def test_standby_style_is_ready_at_once() -> None:
    writer = Scribe()
    engine = Engine(writer, standby=("blues",), bars_per_phrase=4, opening=False)
    engine.prepare(RATE, 480)
    stage = LiveActions.__new__(LiveActions)
    stage.writer, stage.engine, stage.position, stage.events = writer, engine, 0.0, []
    stage.bars(0.01)
    for number in (1, 2):  # what is played next goes before what is kept
        LiveActions.wait(lambda number=number: len(writer.orders) >= number)
        stage.bars(0.02)
    LiveActions.wait(lambda: any(o.request.style == "blues" for o in writer.orders))
    stage.bars(1.9)
    engine.set_parameter("style", "blues")
    stage.bars(0.2)
    assert engine.status.style == "blues"


def test_a_failing_writer_is_said_and_tried_again() -> None:
    writer = Scribe(fails=1)
    stage = LiveActions(writer)
    stage.bars(0.01)
    LiveActions.wait(lambda: len(writer.orders) >= 1)
    stage.bars(1)
    assert stage.engine.notices() == ["no phrase written: the pen is dry"]
    stage.bars(1)
    LiveActions.wait(lambda: len(writer.orders) >= 2)
    assert ons(stage.bars(2))


def test_what_can_never_be_written_is_told_apart_from_a_failure() -> None:
    class Refuses(Scribe):
        def write(self, order: PhraseRequest) -> Phrase:
            self.orders.append(order)
            raise UsageError("meter 5/4 is not one this model writes")

    failing, refusing = LiveActions(Scribe(fails=1)), LiveActions(Refuses())
    for stage in (failing, refusing):
        stage.bars(0.01)
        LiveActions.wait(lambda stage=stage: len(stage.writer.orders) >= 1)
        stage.bars(0.01)
    assert not failing.engine.refusal and "5/4" in refusing.engine.refusal


def test_moves() -> None:
    """Next, loop, mute, freeze and undo, told by the phrases that sound."""
    stage = LiveActions(Scribe())

    def bar() -> list[int]:
        stage.written()
        return [p for _, p in ons(stage.bars(1))]

    stage.bars(0.02)
    stage.written()
    stage.bars(0.98)
    a, b = bar(), bar()
    stage.engine.loop_phrase(True)
    c = bar()
    if c == b:
        loop = [b, bar(), bar()]
    else:  # the phrase after was laid before the loop was asked for
        loop = [c, bar(), bar()]
    assert a != b and loop[0] == loop[1] == loop[2]
    stage.engine.next_phrase()
    d, e = bar(), bar()
    assert d not in (a, b, loop[0]) and e == d, "the loop goes on with the next phrase"
    stage.engine.loop_phrase(False)
    stage.engine.mute("melody", True)
    assert bar() == []
    stage.engine.mute("melody", False)
    f = bar()
    stage.engine.undo()
    g = bar()
    assert f and g and g != f
    stage.engine.freeze(True)
    orders = len(stage.writer.orders)
    frozen = [bar() for _ in range(10)]
    assert len(stage.writer.orders) <= orders + 1
    assert frozen[2:6] == frozen[6:10]


def test_mute_ends_what_sounds() -> None:
    stage = LiveActions(Scribe())
    stage.bars(0.02)
    stage.written()
    stage.bars(1.47)
    stage.engine.mute("melody", True)
    stage.bars(0.01)
    assert not [k for k in unbalanced([(0, m) for _, m in stage.events]) if k[0] == 0]


def test_vary_keeps_the_other_roles() -> None:
    stage = LiveActions(Scribe(), tracks=("melody", "drums"))
    stage.bars(0.02)
    stage.written()
    stage.bars(1.88)
    stage.engine.vary()
    stage.bars(0.2)
    stage.written()
    order = next(o for o in stage.writer.orders if o.purpose == "vary")
    assert order.request.given is not None and order.request.given_roles == ("drums",)


def call(start: float, pitches: tuple[int, ...]) -> dict[float, tuple[int, ...]]:
    heard: dict[float, tuple[int, ...]] = {}
    for i, pitch in enumerate(pitches):
        heard[round(start + i * 0.5, 6)] = (0x90, pitch, 90)
        heard[round(start + i * 0.5 + 0.4, 6)] = (0x80, pitch, 0)
    return heard


def test_call_and_response() -> None:
    """The answer is written on trial while the player rests, and begins on the quarter after the rest."""
    stage = LiveActions(Scribe(), mode="answer")
    assert not ons(stage.bars(1))
    melody = (60, 62, 64, 65, 67)
    assert not ons(stage.bars(0.75, call(4.0, melody)))  # the last note ends at 6.4
    stage.written()
    answer = ons(stage.bars(1.5))
    prompt = stage.writer.orders[-1].request.prompt
    assert prompt is not None and tuple(n.pitch for n in prompt.tracks[0]) == melody
    assert stage.writer.orders[-1].request.key == (0, "major")
    assert answer[0][0] == pytest.approx(8.0, abs=0.01)  # 6.4 + 1 quarter of rest, then the next quarter


def opened() -> LiveActions:
    """A bar has passed; the opening is written, and the phrase of four bars behind it."""
    stage = LiveActions(opening=True)
    stage.engine.set_parameter("bars_per_phrase", 4)
    stage.bars(0.02)
    stage.let_write()
    stage.bars(0.98)
    stage.written()
    stage.let_write()
    return stage


def test_the_first_phrase_begins_with_an_opening_and_goes_on_from_it() -> None:
    """One bar, written once and unheard, starts the music; the phrase behind it is written while it plays."""
    stage = opened()
    opening, following = stage.writer.orders
    assert opening.quick and (opening.request.bars, opening.candidates) == (1, 1)
    assert not following.quick and (following.request.bars, following.candidates) == (4, 3)
    assert following.request.prompt == Scribe().write(opening).score
    notes = ons(stage.bars(5))
    assert {int(q // 4) for q, _ in notes} == {1, 2, 3, 4, 5}, "no gap between the opening and the phrase"
    assert stage.engine.status.num_gaps == stage.engine.status.num_repeats == 0
    unbalanced([(0, m) for _, m in stage.events])


def test_a_change_of_style_begins_with_an_opening_at_the_next_bar_line() -> None:
    stage = opened()
    stage.bars(1.5)
    stage.written()
    stage.engine.set_parameter("style", "blues")
    stage.bars(0.02)
    stage.let_write(2)  # what was in hand, and the opening
    assert stage.writer.orders[-1].quick and stage.writer.orders[-1].request.prompt is None
    changed = [(round(q, 2), m) for q, m in stage.bars(0.6) if m[0] == 0xC0]
    assert changed == [(12.0, (0xC0, 1))]


def test_a_turned_knob_leaves_one_order() -> None:
    """Each step drops what was ordered for the step before."""
    stage = LiveActions(Gate())
    for step in range(50):
        stage.engine.set_parameter("density", step / 50)
        stage.bars(0.01)
    for _ in range(3):
        stage.writer.open.release()  # type: ignore[attr-defined]
    LiveActions.wait(lambda: any(o.request.density == 49 / 50 for o in stage.writer.orders))
    assert len(stage.writer.orders) <= 2


def test_an_answer_begins_with_an_opening_and_goes_on() -> None:
    stage = LiveActions(Scribe(), mode="answer", opening=True)
    stage.bars(1)
    melody = tuple(60 + i for i in range(16))  # two bars: 4.0 to 11.9
    stage.bars(2.1, call(4.0, melody))
    stage.written()
    stage.bars(0.4)
    stage.written()
    stage.bars(2.5)
    answer = ons(stage.events)
    assert answer[0][0] == pytest.approx(13.0, abs=0.01)
    opening, more = stage.writer.orders[-2:]
    assert opening.request.goes_on and not more.request.goes_on
    assert opening.quick and opening.request.bars == 1 and more.request.bars == 1
    prompt = more.request.prompt
    assert prompt is not None and len(prompt.tracks[0]) > len(melody), "it goes on from call and opening"
    assert {int(q - 13.0) // 4 for q, _ in answer} == {0, 1}, "two bars, without a gap"


def test_an_answer_to_most_of_the_call_is_better_than_none() -> None:
    """The writer is slow: only the answer to the first notes is written when the call is over."""
    stage = LiveActions(mode="answer", opening=True)
    stage.bars(1)
    stage.bars(0.9, call(4.0, tuple(60 + i for i in range(8))))
    stage.written()
    stage.let_write()
    heard = stage.bars(0.5, call(4.0, tuple(60 + i for i in range(8))))
    prompt = stage.writer.orders[0].request.prompt
    assert prompt is not None and 3 <= len(prompt.tracks[0]) < 8
    assert ons(heard)[0][0] == pytest.approx(9.0, abs=0.01), "the call ends at 7.9, its rest at 8.9"


def test_what_was_played_before_answering_was_asked_for_is_no_call() -> None:
    stage = LiveActions(Scribe())
    stage.bars(1, call(0.5, (60, 62, 64)))
    stage.engine.set_parameter("mode", "answer")
    stage.bars(2, call(5.0, (65, 67)))
    stage.written()
    prompts = [o.request.prompt for o in stage.writer.orders if o.purpose.startswith("answer")]
    assert [[n.pitch for n in p.tracks[0]] for p in prompts if p is not None] == [[65, 67]]


def test_playing_on_takes_the_answer_back() -> None:
    stage = LiveActions(Scribe(), mode="answer")
    stage.bars(1)
    stage.bars(0.6, call(4.0, (60, 62, 64)))  # ends at 5.4
    LiveActions.wait(lambda: bool(stage.writer.orders))
    went_on = stage.bars(0.6, call(6.3, (65, 67)))  # before 6.4: not over
    assert not ons(went_on)
    assert not [o for o in stage.writer.orders[1:] if o.request.prompt is None]


def test_accompaniment_is_written_around_what_was_played() -> None:
    stage = LiveActions(Scribe(), mode="accompany", tracks=("bass", "drums"))
    for bar in range(6):
        stage.bars(1, call(bar * 4.0, (60, 62, 64, 65, 67, 65, 64, 62)))
        stage.written()
    given_to = [o.request for o in stage.writer.orders if o.request.given is not None]
    assert given_to and given_to[0].given_roles == ("melody",)
    assert not ons(stage.events), "the player's own part is not played back"
    assert [m for _, m in stage.events if m[0] == 0x99]


def test_parameters_check_and_describe_themselves() -> None:
    engine = offline()
    table = {p.name: p for p in engine.parameters()}
    assert table["style"].choices == Scribe.styles and table["temperature"].span == (0.1, 2.0)
    for parameter in table.values():
        if parameter.kind in ("float", "int"):
            for value in (parameter.low, parameter.high):
                engine.set_parameter(parameter.name, value)
                assert engine.parameter_value(parameter.name) == value
            for value in (parameter.low - 1, parameter.high + 1, math.nan):
                with pytest.raises(UsageError, match=parameter.label):
                    engine.set_parameter(parameter.name, value)
    with pytest.raises(UsageError, match="did you mean 'polka'"):
        engine.set_parameter("style", "polca")
    with pytest.raises(UsageError, match="density"):
        engine.set_parameter("densety", 0.5)
    with pytest.raises(UsageError):
        engine.set_parameter("key", "H moll")


def test_sampling_is_the_style_s_unless_it_is_set() -> None:
    engine = offline()
    request = engine._builder.next(Transport(), None).request
    assert request.temperature is None and request.top_p is None and request.swing == 0.5
    engine.set_parameter("temperature", 0.7)
    assert engine._builder.next(Transport(), None).request.temperature == 0.7
    engine.set_parameter("temperature", None)
    assert engine._builder.next(Transport(), None).request.temperature is None


def test_seed_cannot_change_while_playing() -> None:
    engine = offline()
    engine.process(Transport(), Block(64))
    with pytest.raises(UsageError, match="stop it first"):
        engine.set_parameter("seed", 5)
    engine.process(Transport(is_playing=False), Block(64))
    engine.set_parameter("seed", 5)


def test_swing_moves_only_the_off_beat() -> None:
    assert swung(np.array([0.0, 0.5, 1.0, 1.5, 3.0]), 2 / 3) == pytest.approx([0, 2 / 3, 1, 1 + 2 / 3, 3])
    assert swung(np.array([0.3, 0.7]), 0.5) == pytest.approx([0.3, 0.7])


@settings(deadline=None)  # the first example reads the timing of people
@given(swing=st.floats(0.5, 0.75), humanize=st.floats(0, 1), seed=st.integers(0, 1000))
def test_feel_stays_inside_the_phrase(swing: float, humanize: float, seed: int) -> None:
    phrase = Scribe().write(
        PhraseRequest(request=offline()._builder.next(Transport(), None).request, seed=seed)
    )
    placed = place(phrase, 8.0, swing, humanize)
    assert placed.onset.min() >= 8.0 and placed.offset.max() <= placed.end == 16.0
    assert (placed.offset > placed.onset).all() and (np.diff(placed.onset) >= 0).all()
    assert placed.velocity.min() >= 1 and placed.velocity.max() <= 127


def test_render_block_sounds_and_falls_silent() -> None:
    engine = offline()
    sound = np.concatenate(
        [engine.render_block(Transport(i * 512 / 24_000), Block(512)) for i in range(60)], axis=1
    )
    assert sound.shape == (2, 60 * 512) and sound.dtype == np.float32
    assert 0.005 < np.abs(sound).max() < 4
    engine.process(Transport(is_playing=False), Block(64))
    for _ in range(60):
        tail = engine.render_block(Transport(is_playing=False), Block(4096))
    assert np.abs(tail).max() < 1e-3


def test_impossible_hosts_are_refused() -> None:
    engine = offline()
    for rate, size in ((0, 64), (48_000, 0), (math.nan, 64)):
        with pytest.raises(UsageError):
            engine.prepare(rate, size)
    with pytest.raises(UsageError, match="qpm"):
        Transport(qpm=0)


class Sleeper(Scribe):
    """Writes for ever, until it is let go. At module level, so that another process can make one."""

    def write(self, order: PhraseRequest) -> Phrase:
        if order.seed:
            return super().write(order)
        until = time.monotonic() + 60
        while not self.abandoned and time.monotonic() < until:
            time.sleep(0.01)
        self.abandoned = 0
        raise Abandoned("no longer wanted")


def test_a_process_lets_go_of_what_nobody_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
    writer = ProcessWriter(Sleeper)
    try:
        request = offline()._builder.next(Transport(), None).request
        threading.Timer(0.3, writer.abandon).start()
        started = time.monotonic()
        with pytest.raises(Abandoned):
            writer.write(PhraseRequest(request, seed=0))
        assert time.monotonic() - started < 20
        assert writer.write(PhraseRequest(request, seed=3)).seed == 3, "it goes on with the next"
    finally:
        writer.close()


def broken() -> Sleeper:
    raise UsageError("no such model")


def test_a_process_that_is_not_waited_for_says_later_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"))
    writer = ProcessWriter(broken, wait=False)
    try:
        with pytest.raises(UsageError, match="no such model"):
            Engine(writer)
    finally:
        writer.close()
