"""MIDI files: what is written is read again, and broken bytes are an error with a reason, never a crash."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mido
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pieces import tune

from melodygen.errors import MidiReadError, OutputExistsError
from melodygen.io.midi import assign_channels, read_midi, write_midi
from melodygen.music.score import Chord, KeySignature, Note, Score, Tempo, TimeSignature, Track, note_array

GOLDEN = Path(__file__).parents[1] / "golden"
SUPPORT = Path(__file__).parents[1] / "support"
ticks = st.integers(0, 20_000)


@st.composite
def sayable_scores(draw: st.DrawFn) -> Score:
    """What MIDI can say: no overlap of one pitch in a track, tempi in whole microseconds, tracks that sound."""
    tracks = []
    for index in range(draw(st.integers(1, 5))):
        drums = index == 0 and draw(st.booleans())
        rows, free = [], dict.fromkeys(range(128), 0)
        for _ in range(draw(st.integers(1, 12))):
            pitch = draw(st.integers(0, 127))
            onset = free[pitch] + draw(st.integers(0, 900))
            length = draw(st.integers(1, 3000))
            free[pitch] = onset + length
            rows.append((onset, length, pitch, draw(st.integers(1, 127))))
        role = "drums" if drums else draw(st.sampled_from(("melody", "chords", "bass", "other")))
        tracks.append(Track(note_array(rows), draw(st.integers(0, 127)), drums, role, role))
    tempos = {
        t: Tempo(t, 60_000_000 / draw(st.integers(60_000, 15_000_000)))
        for t in draw(st.sets(ticks, max_size=3))
    }
    meters = {
        t: TimeSignature(t, draw(st.integers(1, 64)), draw(st.sampled_from((1, 2, 4, 8, 16, 32, 64))))
        for t in draw(st.sets(ticks, max_size=3))
    }
    keys = tuple(
        KeySignature(t, draw(st.integers(0, 11)), draw(st.sampled_from(("major", "minor"))))
        for t in sorted(draw(st.sets(ticks, max_size=2)))
    )
    chords = tuple(
        Chord(t, draw(st.sampled_from(("C:maj", "N", "Bb:min7", "Gb:13")))) for t in draw(st.sets(ticks))
    )
    return Score(
        tuple(tracks), tuple(tempos.values()), tuple(meters.values()), keys, chords,
        draw(st.sampled_from((12, 96, 480, 960, 32767))), "piece",
    )  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(score=sayable_scores())
def test_what_is_written_is_read_again(score: Score, tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    write_midi(path, score, ("made by a test",), overwrite=True)
    again = read_midi(path)
    assert replace(again, tempos=()) == replace(score, tempos=())
    assert [t.tick for t in again.tempos] == [t.tick for t in score.tempos]
    for tempo, expected in zip(again.tempos, score.tempos, strict=True):
        assert tempo.qpm == pytest.approx(expected.qpm, rel=1e-5)
    other = mido.MidiFile(path)  # another reader agrees
    assert sum(m.type == "note_on" and m.velocity > 0 for t in other.tracks for m in t) == score.num_notes
    assert [m.text for t in other.tracks for m in t if m.type == "text"] == ["made by a test"]


def test_golden_file(tmp_path: Path) -> None:
    from golden.make_golden import TEXTS, golden_score

    write_midi(tmp_path / "tune.mid", golden_score(), TEXTS)
    assert (tmp_path / "tune.mid").read_bytes() == (GOLDEN / "tune.mid").read_bytes()
    assert replace(read_midi(GOLDEN / "tune.mid"), title="golden") == golden_score()


def test_overlaps_of_one_pitch_end_where_the_next_note_begins(tmp_path: Path) -> None:
    rows = [(0, 1000, 60, 90), (400, 100, 60, 80), (400, 300, 60, 70), (0, 50, 62, 90)]
    write_midi(tmp_path / "a.mid", Score((Track(note_array(rows), name="x"),)))
    notes = list(read_midi(tmp_path / "a.mid").tracks[0])
    assert notes == [Note(0, 400, 60, 90), Note(0, 50, 62, 90), Note(400, 300, 60, 70)]


def test_drums_have_channel_9_and_others_do_not() -> None:
    voices = [
        Track(note_array([(0, 1, 60, 90)]), p % 3, p == 4, "drums" if p == 4 else "other") for p in range(20)
    ]
    channels = assign_channels(Score(tuple(voices)))
    assert [c == 9 for c in channels] == [p == 4 for p in range(20)]
    assert len(set(channels[:16])) == 16
    assert set(channels) <= set(range(16))


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        write_midi(path, tune(1))
    assert path.read_bytes() == b"precious"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mid"]


def midi_bytes(*tracks: bytes, division: int = 480, kind: int = 1, header: int = 6) -> bytes:
    head = b"MThd" + struct.pack(">IHHH", header, kind, len(tracks), division)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(t)) + t for t in tracks)


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x50\x60\x80\x3c\x40"


def read(tmp_path: Path, data: bytes) -> Score:
    path = tmp_path / "x.mid"
    path.write_bytes(data)
    return read_midi(path)


def test_small_files_by_hand(tmp_path: Path) -> None:
    plain = read(tmp_path, midi_bytes(NOTE + END))
    assert list(plain.tracks[0]) == [Note(0, 96, 60, 80)]
    riff = b"RIFF\0\0\0\0RMIDdata\0\0\0\0" + midi_bytes(NOTE + END)
    assert read(tmp_path, riff) == plain
    meters = b"\x00\xff\x58\x04\x00\x02\x18\x08\x00\xff\x58\x04\x04\x07\x18\x08"
    score = read(tmp_path, midi_bytes(meters + b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END))
    assert (str(score.time_signatures[0]), score.qpm) == (
        "4/4",
        120.0,
    )  # 0/4, 4/128 and no tempo at all are dropped


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "not a MIDI file"),
        (b"RIFF\0\0\0\0RMID", "not a MIDI file"),
        (b"MThd\0\0", "truncated in the header"),
        (midi_bytes(), "no track"),
        (
            midi_bytes(NOTE + b"\xff\xff\xff\x7f" + NOTE[1:] + END, division=1),
            "hours, more than the limit of 12",
        ),
    ],
)
def test_broken_files_say_why(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(MidiReadError, match=message):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "warning", "num_notes"),
    [
        (midi_bytes(NOTE + END, division=0), "a time division of 0 means nothing; it is read as 480", 1),
        (midi_bytes(NOTE + END, kind=7), "type 7 is none of 0, 1, 2; it is read as type 1", 1),
        (midi_bytes(NOTE + END)[:-3], "cut off: 3 bytes of track 1 are missing", 1),
        (midi_bytes(NOTE + END)[:-5], "the last event of track 1 is cut off and left out", 1),
        (midi_bytes(b"\x00\x90\x3c\xff" + END), "velocity 255 is clipped to 127", 1),
        (midi_bytes(b"\x00\x90\xc8\x50" + NOTE + END), "key 200 does not exist (0-127) and is left out", 1),
        (
            midi_bytes(b"\x00\xb0\xc8\x50" + NOTE + END),
            "controller 200 does not exist (0-127) and is left out",
            1,
        ),
        (
            midi_bytes(b"\x00\xf4" + NOTE + END),
            "a status byte 0xF4 has no place in a file and is left out",
            1,
        ),
        (midi_bytes(b"\x00\x3c\x50" + NOTE + END), "15 bytes of track 1 are no events and are left out", 0),
        (midi_bytes(NOTE + END + b"junk"), "4 bytes behind the end of track 1 are passed over", 1),
        (b"From: me\n\n" + midi_bytes(NOTE + END), "10 bytes before the header are passed over", 1),
        (midi_bytes(NOTE + END) + b"\xff\x01\x02", "3 bytes that belong to no track are passed over", 1),
        (midi_bytes(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END), "a tempo of 0 µs a quarter at tick 0", 1),
        (midi_bytes(b"\x00\xff\x58\x04\x00\x02\x18\x08" + NOTE + END), "a meter 0/2^2 at tick 0", 1),
    ],
)
def test_what_can_be_mended_is_read_with_a_word(
    tmp_path: Path, data: bytes, warning: str, num_notes: int
) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(data)
    warnings: list[str] = []
    score = read_midi(path, warnings=warnings)
    assert warning in "; ".join(warnings)
    assert score.num_notes == num_notes


def test_a_file_that_is_not_there_or_too_big(tmp_path: Path) -> None:
    with pytest.raises(MidiReadError, match="cannot be read"):
        read_midi(tmp_path / "none.mid")
    with (tmp_path / "big.mid").open("wb") as stream:
        stream.truncate(33 * 2**20)
    with pytest.raises(MidiReadError, match="33 MiB is more than 32 MiB"):
        read_midi(tmp_path / "big.mid")


FUZZ = """
import random, resource, sys
from pathlib import Path
from melodygen.errors import MidiReadError
from melodygen.io.midi import read_midi
sys.path.insert(0, sys.argv[1])
from mutated_midi import mutated
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
path = Path(sys.argv[2]) / "fuzz.mid"
read = 0
for seed in range(2500):
    path.write_bytes(mutated(seed))
    print(seed, flush=True)
    try:
        score = read_midi(path)
        score.duration_seconds, score.num_notes
        read += 1
    except MidiReadError:
        pass
print("read", read)
"""


def test_no_bytes_crash_hang_or_fill_the_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FUZZ, str(SUPPORT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    last = done.stdout.splitlines()[-1:] or ["nothing"]
    assert done.returncode == 0, f"after {last[0]}: {done.stderr[-2000:]}"
    read_count = int(last[0].removeprefix("read "))
    assert read_count > 300  # enough got past the checks to mean something
