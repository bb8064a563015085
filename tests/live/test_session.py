"""Clocks, player and session in simulated time, without ports: what leaves, when, and that nothing is left sounding."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livehost import Scribe, unbalanced

from melodygen.engine import Engine
from melodygen.engine.actions import LiveActions
from melodygen.errors import PortError, UsageError
from melodygen.io.midi import read_midi, write_midi
from melodygen.live.clock import CONTINUE, SONG_POSITION, START, STOP, TICK, ClockFollower, InternalClock
from melodygen.live.moves import MOVES, Controls, load_controls, save_controls
from melodygen.live.player import Player
from melodygen.live.ports import RoutedOutput, find_port
from melodygen.live.recorder import Recorder
from melodygen.live.score_processor import ScoreProcessor
from melodygen.live.session import Session, SessionOptions
from melodygen.live.transport import MidiBytes
from melodygen.music.score import Score, Tempo, TimeSignature, Track

MS = 1e-3


# ports by name


def test_exact_name_wins_over_a_longer_one() -> None:
    assert find_port("Port 1", ["Port 10", "Port 1"]) == "Port 1"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("iac", "IAC Bus 1"),
        ("Midi Through:Midi Through Port-0", "Midi Through:Midi Through Port-0 14:0"),
        ("2", "Synth"),
    ],
)
def test_port_by_beginning_number_and_without_alsa_number(wanted: str, found: str) -> None:
    assert find_port(wanted, ["IAC Bus 1", "Synth", "Midi Through:Midi Through Port-0 14:0"]) == found


def test_port_that_could_be_several_or_none_lists_what_is_there() -> None:
    with pytest.raises(PortError, match="could be several: 'IAC 1', 'IAC 2'"):
        find_port("IAC", ["IAC 1", "IAC 2"])
    with pytest.raises(PortError, match="1: 'IAC 1', 2: 'IAC 2'"):
        find_port("loop", ["IAC 1", "IAC 2"])
    with pytest.raises(PortError, match="there is no output at all"):
        find_port("1", [])


# simulated time


class World:
    """Time that passes only when somebody waits, a port that notes what it gets, and things that happen."""

    name, lead_seconds = "world", 0.0

    def __init__(self) -> None:
        self.time = 100.0
        self.got: list[tuple[float, MidiBytes]] = []
        self.script: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        self.time += 2e-6
        return self.time

    def wait(self, seconds: float) -> None:
        until = self.time + seconds
        if self.script and self.script[0][0] <= until:
            at, happens = self.script.pop(0)
            self.time = max(self.time, at)
            happens()
            return
        self.time = until

    def at(self, seconds: float, happens: Callable[[], None]) -> None:
        self.script.append((100.0 + seconds, happens))
        self.script.sort(key=lambda s: s[0])

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        self.got.append((self.time - 100.0, message))
        return True

    def keep_time(self) -> None: ...

    def recall(self, is_stop: bool) -> None: ...

    def close(self) -> None: ...

    def player(self, **options: float) -> Player:
        return Player(self, now=self.now, wait=self.wait, **options)  # type: ignore[arg-type]

    def ons(self, channel: int = 0) -> list[float]:
        return [t for t, m in self.got if m[0] == 0x90 | channel]

    def clock(self) -> list[tuple[float, int]]:
        return [(t, m[0]) for t, m in self.got if m[0] >= 0xF0]


def beat_score(qpm: float = 120.0, quarters: int = 64, **changes: object) -> Score:
    """A note on each quarter, half a quarter long."""
    notes = [(q * 480, 240, 36 + q % 64, 100) for q in range(quarters)]
    return Score((Track(notes, role="melody"),), (Tempo(0, qpm),), **changes)  # type: ignore[arg-type]


def play(
    world: World, score: Score, seconds: float, clock: object = None, recorder: Recorder | None = None,
    **options: object,
) -> Session:  # fmt: skip
    processor = ScoreProcessor(score)
    clock = clock or InternalClock(tempos=processor.tempos)
    chosen = SessionOptions(**options)  # type: ignore[arg-type]
    session = Session(processor, world.player(), clock, chosen, recorder=recorder, now=world.now)  # type: ignore[arg-type]
    world.at(seconds, session.stop)
    if isinstance(clock, InternalClock):
        session.start()
    session.run()
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0), "a note is left sounding"
    return session


LEAD = 12 * MS


def test_notes_go_out_at_their_time_for_ten_minutes() -> None:
    world = World()
    play(world, beat_score(quarters=1200), 600.2)
    want = LEAD + np.arange(1200) * 0.5
    assert len(world.ons()) == 1200
    assert np.abs(np.array(world.ons()) - want).max() < 0.1 * MS, "no drift"


def test_tempo_map_of_a_file_is_kept() -> None:
    score = beat_score(quarters=40)
    score = Score(score.tracks, (Tempo(0, 90.0), Tempo(480 * 7 + 100, 140.0), Tempo(480 * 20, 61.0)))
    world = World()
    play(world, score, 40)
    want = [LEAD + score.tick_to_seconds(480 * q) for q in range(40)]
    assert np.abs(np.array(world.ons()) - want).max() < 0.3 * MS


def test_tempo_factor_seek_and_loop() -> None:
    score = beat_score(quarters=32)
    world = World()
    clock = InternalClock(tempos=[(0.0, 120.0)], factor=2.0)
    clock.seek(0.0, 4.0)
    play(world, score, 6.0, clock, loop=(4.0, 8.0))
    pitches = [m[1] for _, m in world.got if m[0] == 0x90]
    assert pitches[:10] == [40, 41, 42, 43, 40, 41, 42, 43, 40, 41]
    assert np.diff(world.ons()) == pytest.approx(0.25, abs=0.2 * MS)


def test_latency_sends_earlier() -> None:
    times = []
    for latency in (0.0, 0.02, -0.02):
        world = World()
        play(world, beat_score(), 3, latency_seconds=latency)
        times.append(np.array(world.ons()[1:5]))
    assert times[0] - times[1] == pytest.approx(0.02, abs=0.3 * MS)
    assert times[2] - times[0] == pytest.approx(0.02, abs=0.3 * MS)


def test_clock_out_start_arms_and_the_first_tick_is_beat_0() -> None:
    world = World()
    play(world, beat_score(), 4.5, clock_out=True)
    clock = world.clock()
    assert clock[0][1] == START and clock[-1][1] == STOP
    ticks = [t for t, m in clock if m == TICK]
    assert 1 * MS <= ticks[0] - clock[0][0] <= 5 * MS
    assert ticks[0] == pytest.approx(world.ons()[0], abs=0.1 * MS)
    assert ticks[24] == pytest.approx(world.ons()[1], abs=0.1 * MS)
    assert np.diff(ticks) == pytest.approx(0.5 / 24, abs=0.1 * MS)


def test_clock_out_from_the_middle_points_and_continues() -> None:
    world = World()
    clock = InternalClock(120.0)
    clock.seek(0.0, 6.5)
    play(world, beat_score(), 2, clock, clock_out=True)
    sent = [m for _, m in world.got if m[0] >= 0xF0]
    assert sent[:3] == [(SONG_POSITION, 26, 0), (CONTINUE,), (TICK,)]


def test_count_in_clicks_then_begins_on_the_bar() -> None:
    world = World()
    play(world, beat_score(), 6, count_in_bars=1)
    clicks = [(t, m[1]) for t, m in world.got if m[0] == 0x99]
    assert [p for _, p in clicks] == [76, 77, 77, 77]
    first = world.ons()[0]
    assert first - clicks[0][0] == pytest.approx(2.0, abs=0.2 * MS)


def test_pause_goes_on_where_it_was() -> None:
    world = World()
    processor = ScoreProcessor(beat_score())
    session = Session(processor, world.player(), InternalClock(120.0), now=world.now)
    world.at(1.1, session.toggle)
    world.at(3.0, session.toggle)
    world.at(5.0, session.stop)
    session.start()
    session.run()
    pitches = [m[1] for _, m in world.got if m[0] == 0x90]
    assert pitches[:6] == [36, 37, 38, 39, 40, 41], "nothing twice, nothing left out"
    assert not [t for t in world.ons() if 1.15 < t < 3.0]
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0)


def test_a_machine_that_slept_goes_on_without_a_burst() -> None:
    world = World()

    def sleep() -> None:
        world.time += 60.0

    world.at(2.2, sleep)
    play(world, beat_score(quarters=64), 65)
    assert np.diff(world.ons()).min() > 0.2
    assert [m[1] for _, m in world.got if m[0] == 0x90][:8] == list(range(36, 44))


def test_late_notes_are_dropped_not_bunched() -> None:
    world = World()

    def stall() -> None:
        world.time += 0.8  # less than a sleep: the song goes on meanwhile

    world.at(2.02, stall)
    play(world, beat_score(qpm=240), 6)
    assert len(world.ons()) < 24 and np.diff(world.ons()).min() > 0.2


# the player


def test_every_note_has_an_end_of_its_own() -> None:
    world = World()
    player = world.player(max_note_seconds=2.0)
    player.send_now((0x90, 60, 100))
    player.run_until(world.time + 1)
    assert player.num_sounding == 1
    player.run_until(world.time + 2)
    assert player.num_sounding == 0 and world.got[-1][1] == (0x80, 60, 0)


def test_note_off_without_a_note_is_not_sent_and_a_retrigger_ends_the_first() -> None:
    world = World()
    player = world.player()
    player.send_now((0x80, 60, 0))
    assert world.got == []
    player.send_now((0x90, 60, 100))
    player.send_now((0x90, 60, 90))
    player.send_now((0x90, 60, 0))
    assert [m for _, m in world.got] == [(0x90, 60, 100), (0x80, 60, 0), (0x90, 60, 90), (0x80, 60, 0)]


def test_silence_ends_notes_first_then_pedals_then_all() -> None:
    world = World()
    player = world.player()
    player.send_now((0x93, 60, 100))
    player.schedule(world.time + 1, (0x93, 61, 100))
    player.silence()
    player.run_until(world.time + 2)
    assert [m for _, m in world.got[1:]] == [(0x83, 60, 0), (0xB3, 64, 0), (0xB3, 123, 0)]


def test_panic_reaches_every_key_of_every_channel() -> None:
    world = World()
    world.player().panic()
    sent = {m for _, m in world.got}
    assert {(0x80 | c, p, 0) for c in range(16) for p in range(128)} <= sent
    assert {(0xB0 | c, n, 0) for c in range(16) for n in (64, 120, 121, 123)} <= sent


def test_own_output_is_not_heard_as_input() -> None:
    world = World()
    score = beat_score()
    session_heard: list[MidiBytes] = []

    class Ears(ScoreProcessor):
        def process(self, transport, block):  # type: ignore[no-untyped-def]
            session_heard.extend(e.message for e in block.midi_in)
            return super().process(transport, block)

    session = Session(
        Ears(score), world.player(), InternalClock(120.0), SessionOptions(thru=True), now=world.now
    )
    send = world.send

    def loopback(message: MidiBytes, at: float | None = None) -> bool:
        session.receive(message, world.time)
        return send(message)

    world.send = loopback  # type: ignore[method-assign]
    world.at(0.3, lambda: session.receive((0x90, 99, 80), world.time))
    world.at(0.4, lambda: session.receive((0x80, 99, 0), world.time))
    world.at(2.0, session.stop)
    session.start()
    session.run()
    assert [m[1] for m in session_heard] == [99, 99]
    assert len([1 for _, m in world.got if m == (0x90, 99, 80)]) == 1, "passed on once"


def test_routed_output_sends_roles_to_their_ports() -> None:
    one, two = World(), World()
    routed = RoutedOutput(one, {9: two})
    for message in ((0x90, 60, 1), (0x99, 36, 1), (0xF8,)):
        assert routed.send(message)
    assert [m for _, m in one.got] == [(0x90, 60, 1), (0xF8,)]
    assert [m for _, m in two.got] == [(0x99, 36, 1), (0xF8,)]


# MIDI clock in


class Master:
    """A DAW's clock: a tempo over time, with jitter on the wire."""

    def __init__(self, qpm: Callable[[float], float], jitter: float = 0.0, seed: int = 1) -> None:
        self.qpm, self.jitter, self.rng = qpm, jitter, random.Random(seed)

    def ticks(self, seconds: float) -> list[float]:
        times, time = [], 0.0
        while time < seconds:
            times.append(time)
            time += 60.0 / self.qpm(time) / 24
        return times

    def arrives(self, time: float) -> float:
        return time + abs(self.rng.gauss(0.0, self.jitter))


def follow(master: Master, seconds: float, first: float = 1.0) -> tuple[float, float]:
    """(worst, rms) error in seconds of the follower's idea of each true tick, just before it arrives."""
    clock = ClockFollower()
    clock.receive((START,), -2 * MS)
    errors = []
    for number, time in enumerate(master.ticks(seconds)):
        if time > first:
            off = clock.position(time) - number / 24
            errors.append(off * 60.0 / master.qpm(time))
        clock.receive((TICK,), master.arrives(time))
    return max(map(abs, errors)), math.sqrt(sum(e * e for e in errors) / len(errors))


def test_steady_clock_is_followed_exactly() -> None:
    worst, _ = follow(Master(lambda t: 117.0), 60)
    assert worst < 0.01 * MS


def test_jitter_is_smoothed_and_does_not_add_up() -> None:
    worst, rms = follow(Master(lambda t: 120.0, jitter=1 * MS), 300, first=5)
    assert rms < 1.0 * MS and worst < 2.5 * MS


def test_ramp_from_90_to_140() -> None:
    worst, _ = follow(Master(lambda t: 90 + 50 * min(max((t - 4) / 8, 0), 1)), 20)
    assert worst < 2.5 * MS


def test_tempo_step_is_caught_within_a_beat() -> None:
    clock, master = ClockFollower(), Master(lambda t: 90.0 if t < 10 else 140.0)
    clock.receive((START,), -0.002)
    late = []
    for number, time in enumerate(master.ticks(20)):
        if time > 10.6:
            late.append(abs(clock.position(time) - number / 24) * 60 / 140)
        clock.receive((TICK,), time)
    assert max(late) < 2 * MS


def run_ticks(clock: ClockFollower, count: int, start: float, qpm: float = 120.0) -> float:
    """Feed ``count`` ticks from ``start``; when the next is due."""
    for i in range(count):
        clock.receive((TICK,), start + i * 60 / qpm / 24)
    return start + count * 60 / qpm / 24


def test_start_only_arms() -> None:
    clock = ClockFollower()
    clock.receive((START,), 0.0)
    assert not clock.is_running
    clock.receive((TICK,), 0.01)
    assert clock.is_running and clock.position(0.01) == 0.0 and clock.epoch_time == 0.01


def test_stop_song_position_continue_as_reaper_sends_them() -> None:
    clock = ClockFollower()
    clock.receive((START,), 0.0)
    at = run_ticks(clock, 49, 0.01)  # beats 0 to 2
    clock.receive((STOP,), at)
    epoch = clock.epoch
    assert not clock.is_running and clock.position(at + 5) == pytest.approx(2 + 1 / 24)
    clock.receive((SONG_POSITION, 32, 1), at + 5)  # sixteenth 160
    assert clock.position(at + 5) == 40.0 and not clock.is_running
    clock.receive((CONTINUE,), at + 5.1)
    clock.receive((TICK,), at + 5.11)
    assert clock.is_running and clock.epoch == epoch + 1
    assert clock.position(at + 5.11) == 40.0
    at = run_ticks(clock, 24, at + 5.11 + 0.5 / 24)
    assert clock.position(at - 0.5 / 24) == pytest.approx(41.0, abs=1e-3)


def test_song_position_while_running_jumps_on_the_next_tick() -> None:
    clock = ClockFollower()
    clock.receive((START,), 0.0)
    at = run_ticks(clock, 30, 0.01)
    epoch = clock.epoch
    clock.receive((SONG_POSITION, 16, 0), at - 0.001)
    clock.receive((TICK,), at)
    assert clock.epoch == epoch + 1 and clock.position(at) == 4.0


def test_clock_that_runs_already_is_said_and_can_be_joined() -> None:
    clock = ClockFollower()
    at = run_ticks(clock, 60, 0.0, qpm=97)
    assert not clock.is_running
    assert any("97.0 qpm: waiting for Start" in n for n in clock.watch(at))
    clock.join(at)
    clock.receive((TICK,), at)
    assert clock.is_running and clock.position(at) == 0.0 and clock.qpm == pytest.approx(97, abs=0.1)


@pytest.mark.parametrize("tapped", [-0.009, 0.0, 0.009])
def test_a_clock_without_start_is_joined_on_the_bar_line_after_the_tap(tapped: float) -> None:
    """However the hand was off: the tick nearest to it is the one."""
    clock = ClockFollower()
    run_ticks(clock, 60, 0.0)  # tick 59 is the last before 1.25 s
    clock.join(1.25 - 0.5 / 24 + tapped, 96)
    assert clock.watch(1.25) == ["joining the MIDI clock a bar from now"] or not clock.is_running
    begun = None
    for number in range(60, 200):
        clock.receive((TICK,), number * 0.5 / 24)
        if clock.is_running and begun is None:
            begun = number
            assert clock.position(number * 0.5 / 24) == 0.0
    assert begun == 59 + 96


def test_stop_takes_a_planned_join_away() -> None:
    clock = ClockFollower()
    at = run_ticks(clock, 60, 0.0)
    clock.join(at, 96)
    clock.receive((STOP,), at)
    run_ticks(clock, 120, at)
    assert not clock.is_running


def test_a_clock_that_pauses_before_start_does_not_spoil_the_tempo() -> None:
    clock = ClockFollower()
    run_ticks(clock, 48, 0.0, qpm=120)
    clock.watch(5.0)
    at = run_ticks(clock, 12, 9.0, qpm=120)
    clock.receive((START,), at)
    clock.receive((TICK,), at)
    assert clock.qpm == pytest.approx(120, abs=0.5)


def test_stop_without_running_changes_nothing() -> None:
    clock = ClockFollower()
    clock.receive((STOP,), 0.0)
    assert clock.epoch == 0 and not clock.is_running


def test_lost_clock_holds_the_tempo_and_is_joined_again() -> None:
    clock = ClockFollower()
    clock.receive((START,), 0.0)
    run_ticks(clock, 24 * 8, 0.0, qpm=100)
    last = (24 * 8 - 1) * 0.6 / 24
    assert clock.watch(last + 0.4) == []
    assert clock.watch(last + 0.6) == ["the MIDI clock is lost: holding 100.0 qpm until it is back"]
    assert clock.is_running and clock.position(last + 3.0) == pytest.approx((24 * 8 - 1) / 24 + 5.0, abs=0.01)
    back = 24 * 8 * 0.6 / 24 + 3.0 + 0.004  # a little off the grid it left
    epoch = clock.epoch
    for i in range(48):
        clock.receive((TICK,), back + i * 0.6 / 24)
    assert clock.watch(back + 1.2) == ["the MIDI clock is back"]
    assert clock.epoch == epoch, "the music did not jump"
    assert clock.position(back + 47 * 0.6 / 24) * 24 == pytest.approx(24 * 8 + 120 + 47, abs=0.3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [(TICK,), (TICK,), (TICK,), (START,), (STOP,), (CONTINUE,), (SONG_POSITION, 5, 1), (0xFE,)]
            ),
            st.sampled_from([0.0, 1e-6, 0.005, 0.02, 0.021, 0.7]),
        ),
        max_size=60,
    )
)
def test_any_messages_at_any_times(messages: list[tuple[MidiBytes, float]]) -> None:
    clock, now = ClockFollower(), 0.0
    for message, gap in messages:
        now += gap
        clock.receive(message, now)
        clock.watch(now)
        assert math.isfinite(clock.position(now)) and clock.position(now) > -0.1
        assert 20 <= clock.qpm <= 400


class HostClock:
    """A host's transport as JACK tells it: it rolls from ``start`` quarters half a second after the beginning."""

    def __init__(self, start: float, qpm: float = 120.0) -> None:
        self.epoch, self.epoch_time, self.is_running = 0, 100.0, False
        self.qpm, self._start = qpm, start

    def position(self, now: float) -> float:
        return self._start + max(0.0, now - 100.5) * self.qpm / 60.0

    def watch(self, now: float) -> list[str]:
        if now >= 100.5 and not self.is_running:
            self.is_running, self.epoch, self.epoch_time = True, 1, now
        return []


@pytest.mark.parametrize(("start", "first"), [(8.0, 8), (8.03, 8), (8.1, 8), (8.2, 9), (9.9, 10)])
def test_what_began_on_a_beat_just_gone_by_is_played(start: float, first: int) -> None:
    """A stock Ardour's first beat is 0.03 for its output latency; 0.12 quarters are the 60 ms that count."""
    world = World()
    play(world, beat_score(), 2.0, HostClock(start))
    played = [(t, m[1] - 36) for t, m in world.got if m[0] == 0x90]
    assert [beat for _, beat in played[:3]] == [first, first + 1, first + 2]
    assert played[0][0] - 0.5 < (0.03 if first < start else (first - start) / 2 + 0.01)
    assert played[2][0] == pytest.approx(0.5 + (first + 2 - start) / 2, abs=2 * MS), "it has caught up"
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0)


def test_a_recording_keeps_the_bar_lines_of_the_host() -> None:
    world, recorder = World(), Recorder(True)
    session = play(world, beat_score(), 2.2, HostClock(6.03), recorder=recorder)
    notes = recorder.score().tracks[0].notes
    beats = notes["onset_tick"] / recorder.score().ticks_per_quarter
    assert beats.round(1).tolist()[:3] == [2.0, 3.0, 4.0], "beat 6 is the third of a bar of four"
    assert session.recorded_quarters - session.played_quarters == pytest.approx(2.0)


def test_session_follows_a_daw_through_start_stop_and_jump() -> None:
    world = World()
    processor = ScoreProcessor(beat_score(quarters=128))
    clock = ClockFollower()
    session = Session(processor, world.player(), clock, now=world.now)

    def tell(at: float, *message: int) -> None:
        world.at(at, lambda: session.receive(message, world.time))

    tell(0.5, START)
    for i in range(24 * 4):
        tell(0.503 + i * 0.5 / 24, TICK)
    tell(2.49, STOP)
    tell(2.6, SONG_POSITION, 64, 0)  # quarter 16
    tell(3.0, CONTINUE)
    for i in range(24 * 2):
        tell(3.002 + i * 0.5 / 24, TICK)
    tell(3.99, STOP)
    world.at(4.5, session.stop)
    session.run()
    played = [(t, m[1]) for t, m in world.got if m[0] == 0x90]
    assert [p for _, p in played] == [36, 37, 38, 39, 52, 53]
    want = [0.503, 1.003, 1.503, 2.003, 3.002, 3.502]
    assert [t for t, _ in played] == pytest.approx(want, abs=0.6 * MS)
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["toggle", "seek", "tempo", "panic"])), max_size=10),
    st.floats(0.1, 3),
)
def test_whatever_happens_nothing_is_left_sounding(happenings: list[tuple[float, str]], end: float) -> None:
    world = World()
    engine = Engine(Scribe(), offline=True, bars_per_phrase=1)
    player = world.player()
    session = Session(engine, player, InternalClock(170.0), SessionOptions(clock_out=True), now=world.now)
    for at, what in happenings:
        world.at(at, {
            "toggle": session.toggle,
            "seek": lambda: session.seek(3.3),
            "tempo": lambda: session.set_qpm(90.0),
            "panic": lambda: session.call(player.cut),
        }[what])  # fmt: skip
    world.at(end, session.stop)
    session.start()
    session.run()
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0)
    assert player.num_sounding == 0


def test_an_error_in_the_processor_ends_in_silence() -> None:
    class Faulty(ScoreProcessor):
        def process(self, transport, block):  # type: ignore[no-untyped-def]
            if transport.position_quarters > 2.2:
                raise RuntimeError("broken")
            return super().process(transport, block)

    world = World()
    session = Session(Faulty(beat_score()), world.player(), InternalClock(120.0), now=world.now)
    session.start()
    with pytest.raises(RuntimeError, match="broken"):
        session.run()
    assert not unbalanced((0, m) for _, m in world.got if m[0] < 0xF0)
    assert world.got[-1][1] == (0xB0, 123, 0)


# recording


def test_record_gives_back_what_was_played(tmp_path: Path) -> None:
    score = beat_score(quarters=16)
    world, recorder = World(), Recorder(keep_all=True, roles={0: "melody"})
    play(world, score, 8.2, recorder=recorder)
    assert recorder.save(tmp_path / "take.mid") == 16
    take = read_midi(tmp_path / "take.mid")
    onsets = take.tracks[0].notes["onset_tick"]
    assert take.tracks[0].role == "melody" and take.qpm == pytest.approx(120)
    assert np.abs(onsets - np.arange(16) * 480).max() <= 1
    assert recorder.score(first=8.0).num_notes == 8
    with pytest.raises(UsageError, match="nothing was played"):
        Recorder(keep_all=False).save(tmp_path / "empty.mid")


# moves


def test_every_move_does_something_on_stage() -> None:
    world = World()
    engine = Engine(Scribe(), offline=True, bars_per_phrase=1)
    said: list[str] = []
    player, clock, recorder = world.player(), InternalClock(120.0), Recorder(keep_all=False)
    session = Session(engine, player, clock, now=world.now, recorder=recorder)
    stage = LiveActions(engine, session, player, clock, recorder, Scribe.styles, 4, said.append)
    known = set(stage._presses) | {"mute_melody", "mute_chords", "mute_bass", "mute_drums"}
    assert {m.name for m in MOVES if m.kind == "press"} == known
    for move in MOVES:
        if move.name not in ("save", "quit"):
            stage.do(move.name, 1.0)
    assert engine.parameter_value("temperature") == 2.0 and engine.parameter_value("swing") == 0.75
    assert engine.parameter_value("style") == "polka"
    stage.do("density", 0.0)
    stage.do("sparser", 1.0)
    assert engine.parameter_value("density") == 0.0
    assert said[-1] == "density 0.00 from the next phrase on"


def test_controllers_press_and_turn() -> None:
    done: list[tuple[str, float]] = []
    controls = Controls(lambda n, v: done.append((n, v)), {(0, 20): "next", (-1, 74): "density"})
    moved = [(0, 20, 127), (0, 20, 127), (0, 20, 0), (0, 20, 100), (5, 74, 127), (1, 20, 127)]
    for channel, controller, value in moved:
        controls.control(channel, controller, value)
    assert done == [("next", 1.0), ("next", 1.0), ("density", 1.0)]
    assert controls.key("n") and not controls.key("ß")


def test_learned_controls_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "controls.json"
    learned = {(0, 20): "next", (-1, 74): "density"}
    save_controls(path, learned)
    assert load_controls(path) == learned
    for broken in ('{"1:20": "nxt"}', '["next"]', '{"x": "next"}', '{"17:3": "next"}', "no"):
        path.write_text(broken)
        with pytest.raises(UsageError, match="controls"):
            load_controls(path)


def test_score_of_several_tracks_plays_on_their_channels(tmp_path: Path) -> None:
    score = Score(
        (
            Track([(0, 480, 60, 90)], program=4, role="melody"),
            Track([(480, 480, 40, 90)], program=33, role="bass"),
            Track([(960, 100, 36, 90)], role="drums", is_drum=True),
        ),
        time_signatures=(TimeSignature(0, 3, 4),),
    )
    write_midi(tmp_path / "a.mid", score)
    world = World()
    play(world, read_midi(tmp_path / "a.mid"), 3)
    voices = [(m[0], m[1]) for _, m in world.got if m[0] & 0xF0 in (0x90, 0xC0)]
    assert voices == [(0xC0, 4), (0xC1, 33), (0x90, 60), (0x91, 40), (0x99, 36)]


class Ahead(World):
    """An output that wants messages 20 ms ahead and plays them at their time."""

    lead_seconds = 0.02

    def __init__(self) -> None:
        super().__init__()
        self.early: list[float] = []

    def send(self, message: MidiBytes, at: float | None = None) -> bool:
        self.early.append((self.time if at is None else at) - self.time)
        self.got.append(((self.time if at is None else at) - 100.0, message))
        return True

    def recall(self, is_stop: bool) -> None:
        now = self.time - 100.0
        gone = (0x90, 0xF0) if is_stop else (0x90,)
        kept = [(t, m) for t, m in self.got if t <= now or m[0] & 0xF0 not in gone]
        self.got = [(min(t, now) if is_stop else t, m) for t, m in kept]


def test_an_output_with_a_lead_gets_everything_that_much_earlier() -> None:
    world, recorder = Ahead(), Recorder(keep_all=True, roles={0: "melody"})
    play(world, beat_score(quarters=16), 8.2, recorder=recorder, clock_out=True)
    onsets = np.array(world.ons())
    assert np.abs(np.diff(onsets) - 0.5).max() < 1e-5, "their times are those of the music, not of the thread"
    ticks = np.array([t for t, status in world.clock() if status == TICK])
    assert np.abs(np.diff(ticks) - 0.5 / 24).max() < 1e-5 and ticks[0] == pytest.approx(onsets[0])
    assert np.quantile(world.early[1:-4], 0.02) > 0.015 and max(world.early) < 0.021
    take = recorder.score().tracks[0].notes["onset_tick"]
    assert np.abs(take - np.arange(16) * 480).max() <= 1


def test_what_a_pulled_cable_left_sounding_is_ended_when_it_is_back() -> None:
    world = World()
    player = world.player()
    for at, message in ((0.0, (0x90, 60, 90)), (0.1, (0x91, 50, 90)), (0.2, (0x80, 60, 0))):
        player.schedule(100.0 + at, message)
    player.run_until(100.15)
    player.remember_sounding()
    player.run_until(100.25)  # its end goes out to nobody
    world.got.clear()
    player.silence()
    ended = [m[:2] for _, m in world.got if m[0] & 0xF0 == 0x80]
    assert (0x80, 60) in ended and (0x81, 50) in ended
    world.got.clear()
    player.silence()
    assert not [m for _, m in world.got if m[0] & 0xF0 == 0x80], "once is enough"
