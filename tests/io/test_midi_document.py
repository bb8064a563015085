"""A user's MIDI file: read as other readers read it, changed note by note, everything else as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import symusic
from hypothesis import given
from hypothesis import strategies as st
from mido_events import events_at_ticks

from melodygen.io.midi_document import MidiDocument, document_of, read_midi_document, write_midi_document
from melodygen.io.midi_events import END_OF_TRACK, MidiEvents, meta_event, parse_midi, serialise_midi
from melodygen.music.score import PITCH_BEND, SUSTAIN, VOLUME, Track, note_array

CASES = Path(__file__).parents[1] / "cases"


def case(name: str) -> MidiDocument:
    return read_midi_document(CASES / f"{name}.mid")


@pytest.mark.parametrize(
    ("name", "num_notes", "seconds", "warning"),
    [
        ("human", 32, 10.4928, ""),
        ("no_offs", 32, 16.0, "32 notes have no end in the file"),
        ("missing_off", 32, 8.25, "have no end in the file"),
        ("cc_255", 32, 7.9792, "controller value 255 is clipped to 127"),
        ("vel_200", 32, 7.9792, "velocity 200 is clipped to 127 (and 31 more)"),
        ("prog_208", 32, 7.9792, "program 208 is clipped to 127"),
        ("trunc", 28, 6.9792, "cut off: 40 bytes of track 2 are missing; what is there is read"),
        ("smpte_25x40", 32, 15.95, ""),
        ("tempo_change", 32, 11.9792, ""),
    ],
)
def test_cases_are_read_with_a_word(name: str, num_notes: int, seconds: float, warning: str) -> None:
    document = case(name)
    assert document.score.num_notes == num_notes
    assert document.score.duration_seconds == pytest.approx(seconds, abs=0.06)
    assert (warning in "; ".join(document.warnings)) if warning else document.warnings == ()


def test_notes_without_an_end_last_to_the_next_of_their_pitch_or_the_end_of_the_track() -> None:
    notes = [(n.onset_tick, n.pitch, n.offset_tick) for n in case("no_offs").score.tracks[0]]
    onsets = {pitch: [o for o, p, _ in notes if p == pitch] for _, pitch, _ in notes}
    track_end = 14_880
    for onset, pitch, end in notes:
        at_the_end = track_end if onset < track_end else track_end + 480
        assert end == next((o for o in onsets[pitch] if o > onset), at_the_end)
    notes = [(n.onset_tick, n.pitch, n.offset_tick) for n in case("missing_off").score.tracks[0]]
    long = [(o, p, end) for o, p, end in notes if end - o != 230]
    assert long[0] == (480, 64, next(o for o, p, _ in notes if p == 64 and o > 480)) and len(long) < 8


def test_a_note_may_end_in_another_track_of_its_channel() -> None:
    on, off = bytes((0x90, 60, 80)), bytes((0x90, 60, 0))
    first = [(0, on), (960, on), (5000, off), (5000, END_OF_TRACK)]
    second = [(240, off), (1200, off), (4800, on), (5000, END_OF_TRACK)]
    hung = [(0, bytes((0x90, 72, 80))), (480, END_OF_TRACK)]
    document = document_of(MidiEvents(1, 480, (first, second, hung)), "x.mid")
    notes = sorted((n.onset_tick, n.offset_tick) for track in document.score.tracks for n in track)
    assert notes == [(0, 240), (0, 480), (960, 1200), (4800, 5000)]
    assert document.warnings == (
        "3 notes end in another track than they begin in",
        "a note has no end; it ends at the next note of the same pitch or with the track",
    )


def test_patterns_of_a_type_2_file_follow_one_another() -> None:
    note = [(0, bytes((0x90, 60, 80))), (480, bytes((0x80, 60, 0))), (480, END_OF_TRACK)]
    data = bytearray(serialise_midi(MidiEvents(1, 480, (list(note), list(note)))))
    data[9] = 2
    midi = parse_midi(bytes(data), "x.mid")
    assert [events[0][0] for events in midi.tracks] == [0, 480]
    assert midi.kind == 1 and "2 patterns follow one another" in midi.warnings[0]


def test_controllers_are_seen_by_channel_and_bends_in_semitones() -> None:
    rpn = [(0, bytes((0xB0, n, v))) for n, v in ((101, 0), (100, 0), (6, 12))]
    track = [*rpn, (0, bytes((0x90, 60, 80))), (10, bytes((0xE0, 0, 0x60))), (20, bytes((0xB0, 121, 0))),
             (480, bytes((0x80, 60, 0))), (480, END_OF_TRACK)]  # fmt: skip
    score = document_of(MidiEvents(0, 480, (track,)), "x.mid").score
    bends = [tuple(r) for r in score.tracks[0].controls.tolist() if r[1] == PITCH_BEND]
    assert bends == [(10, PITCH_BEND, 6.0), (20, PITCH_BEND, 0.0)]
    assert case("bend_up2").score.tracks[0].controls["value"][0] == pytest.approx(2.0, abs=0.001)
    assert [r[1:] for r in case("pedal").score.tracks[0].controls.tolist()] == [
        (SUSTAIN, 127.0),
        (SUSTAIN, 0.0),
    ]
    assert np.all(np.diff(case("cc7_fade").score.tracks[0].controls["value"]) < 0)
    assert set(case("cc7_fade").score.tracks[0].controls["controller"]) == {VOLUME}


def test_tracks_of_one_channel_share_its_program_and_a_change_makes_two_tracks() -> None:
    def note(tick: int) -> list[tuple[int, bytes]]:
        return [(tick, bytes((0x92, 60, 80))), (tick + 100, bytes((0x82, 60, 0)))]

    first = [(0, bytes((0xC2, 5))), *note(0), (400, bytes((0xC2, 9))), *note(400), (500, END_OF_TRACK)]
    second = [*note(200), *note(600), (700, END_OF_TRACK)]
    score = document_of(MidiEvents(1, 480, (first, second)), "x.mid").score
    assert [(t.program, t.notes["onset_tick"].tolist()) for t in score.tracks] == [
        (5, [0]), (9, [400]), (5, [200]), (9, [600]),
    ]  # fmt: skip


channel_messages = st.one_of(
    st.builds(lambda k, c, a, b: bytes((k << 4 | c, a, b)), st.sampled_from((8, 9, 10, 11, 14)), st.integers(0, 15),
              st.integers(0, 127), st.integers(0, 127)),
    st.builds(lambda k, c, a: bytes((k << 4 | c, a)), st.sampled_from((12, 13)), st.integers(0, 15),
              st.integers(0, 127)),
    st.builds(lambda t, d: meta_event(t, d.encode()), st.sampled_from((1, 3, 5, 6)), st.text("abcé", max_size=9)),
    st.builds(lambda d: b"\xf0" + bytes((len(d) + 1,)) + bytes(d) + b"\xf7",
              st.lists(st.integers(0, 127), max_size=9)),
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> MidiEvents:
    tracks = []
    for _ in range(draw(st.integers(1, 3))):
        tick, events = 0, []
        for _ in range(draw(st.integers(0, 14))):
            tick += draw(st.sampled_from((0, 0, 1, 7, 480, 20_000)))
            events.append((tick, draw(channel_messages)))
        tracks.append([*events, (tick + draw(st.integers(0, 9)), END_OF_TRACK)])
    return MidiEvents(1, 480, tuple(tracks))


@given(files())
def test_events_come_back_whole_and_as_mido_reads_them(midi: MidiEvents) -> None:
    data = serialise_midi(midi)
    again = parse_midi(data, "x.mid")
    assert again.tracks == midi.tracks and again.warnings == ()
    mido_tracks = events_at_ticks(data)
    assert [len(t) for t in mido_tracks] == [len(t) - 1 for t in midi.tracks]
    assert [[tick for tick, _ in t] for t in mido_tracks] == [
        [tick for tick, _ in t[:-1]] for t in midi.tracks
    ]


@given(files())
def test_notes_are_those_that_symusic_sees(midi: MidiEvents) -> None:
    """Where no note lacks its end; symusic loses those that do."""
    document = document_of(midi, "x.mid")
    if document.warnings:
        return
    native = symusic.Score.from_midi(serialise_midi(midi))
    seen = Counter(
        (n.time, max(n.duration, 1), n.pitch, n.velocity) for track in native.tracks for n in track.notes
    )
    assert Counter(tuple(n) for track in document.score.tracks for n in track) == seen


@given(files(), st.data())
def test_changed_notes_leave_everything_else(midi: MidiEvents, data: st.DataObject) -> None:
    document = document_of(midi, "x.mid")
    changed, drawn = [], data.draw(st.randoms(use_true_random=False))
    for track in document.score.tracks:
        kept = [n for n in track if drawn.random() < 0.7]
        new = [(drawn.randrange(60_000), 10, drawn.randrange(128), 77) for _ in range(drawn.randrange(3))]
        changed.append(replace(track, notes=note_array([*kept, *new])))
    extra = Track(note_array([(5, 100, 60, 90)]), 33, False, "bass", "bass")
    result = document.with_score(replace(document.score, tracks=(*changed, extra)))
    others = [Counter((t, m) for _, t, m in events) for events in midi.others]
    ends = END_OF_TRACK
    for before, events in zip(others, result.events.others[: len(others)], strict=True):
        after = Counter((t, m) for _, t, m in events if m != ends)
        assert after == Counter({k: v for k, v in before.items() if k[1] != ends})
    last = result.events.tracks[-1]
    assert [m[0] & 0xF0 for _, m in last[1:-1]] == [0xC0, 0x90, 0x80] and last[0][1] == meta_event(3, b"bass")
    used = {m[0] & 0x0F for events in midi.tracks for _, m in events if m[0] < 0xF0}
    assert last[1][1][0] & 0x0F not in used - {15} and last[1][1][0] & 0x0F != 9


def test_a_channel_stays_the_files_own_when_its_last_note_goes() -> None:
    events = [(0, b"\x90\x3c\x40"), (480, b"\x80\x3c\x00"), (480, END_OF_TRACK)]
    document = document_of(MidiEvents(1, 480, (events,)), "x.mid")
    emptied = replace(document.score.tracks[0], notes=note_array([]))
    extra = Track(note_array([(5, 100, 60, 90)]), 33, False, "bass", "bass")
    result = document.with_score(replace(document.score, tracks=(emptied, extra)))
    assert {m[0] & 0x0F for _, m in result.events.tracks[-1] if m[0] < 0xF0} == {1}


def test_an_unchanged_score_gives_the_file_again(tmp_path: Path) -> None:
    for name in ("human", "pickup", "bar_1_4", "channels_5_8", "pedal", "no_offs", "missing_off"):
        data = (CASES / f"{name}.mid").read_bytes()
        document = read_midi_document(CASES / f"{name}.mid")
        target = tmp_path / f"{name}.mid"
        write_midi_document(target, document.with_score(document.score))
        assert events_at_ticks(target.read_bytes()) == events_at_ticks(data)
    with_text = tmp_path / "text.mid"
    write_midi_document(with_text, case("human"), ("made by melodygen 9",))
    assert events_at_ticks(with_text.read_bytes())[:2] == events_at_ticks((CASES / "human.mid").read_bytes())
    assert read_midi_document(with_text).texts() == ["made by melodygen 9"]


def test_a_role_is_a_name_of_a_track_with_one_channel() -> None:
    named = (0, meta_event(3, b"Melody"))
    one = [named, (0, bytes((0x90, 60, 80))), (9, bytes((0x80, 60, 0))), (9, END_OF_TRACK)]
    two = [named, *one[1:3], (9, bytes((0x91, 60, 80))), (10, bytes((0x81, 60, 0))), (10, END_OF_TRACK)]
    assert document_of(MidiEvents(0, 480, (one,)), "x").score.tracks[0].role == "melody"
    assert {t.role for t in document_of(MidiEvents(0, 480, (two,)), "x").score.tracks} == {"other"}
