"""Grooves of another program under a piece: what is asked of it, and that what it plays lies on the piece's bars."""

from __future__ import annotations

import sys
from pathlib import Path

import mido
import numpy as np
import pytest

from melodygen.data.mma import Backing, MmaViewMaker, read_grooves
from melodygen.data.scan import SourceFile
from melodygen.data.stems import Source, StemBar, StemVoice
from melodygen.data.views import TRAINING
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES

MAJ, MIN7 = CHORD_QUALITY_NAMES.index("maj"), CHORD_QUALITY_NAMES.index("min7")


def library(folder: Path) -> Path:
    files = {
        "polka.mma": "Time 4\nTimesig 4 4\nDefGroove Polka a polka\nDefGroove PolkaEnd its ending\n",
        "vienesewaltz.mma": "Time 3\nTimesig 4 4\nDefGroove VWaltz\n",
        "68march.mma": "Time 2\nTimeSig 6 8\nDefGroove 68March\n",
        "unclear.mma": "DefGroove Nowhere\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def stub(folder: Path, beats: int) -> Path:
    """A program that keeps what it was asked and plays a bass on every beat, a chord on each second, a drum first."""
    midi = mido.MidiFile(ticks_per_beat=192)
    for name, channel, notes in (
        ("Bass", 0, [(b, 40) for b in range(beats)]),
        ("Chord-Sus", 1, [(b, 60) for b in range(0, beats, 2)]),
        ("Drum-Kick", 9, [(0, 36)]),
    ):
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name=name))
        track.append(mido.Message("program_change", channel=channel, program=33))
        now = 0
        for beat, pitch in notes:
            track.append(
                mido.Message("note_on", channel=channel, note=pitch, velocity=80, time=beat * 192 - now)
            )
            track.append(mido.Message("note_off", channel=channel, note=pitch, time=96))
            now = beat * 192 + 96
        midi.tracks.append(track)
    midi.save(folder / "played.mid")
    program = folder / "mma"
    program.write_text(
        f"#!{sys.executable}\nimport shutil, sys\n"
        f"shutil.copy({str(folder / 'played.mid')!r}, sys.argv[2])\n"
        f"shutil.copy(sys.argv[3], {str(folder / 'asked')!r})\n"
    )
    program.chmod(0o755)
    return program


def test_meters_are_those_of_the_beats_and_endings_are_left_out(tmp_path: Path) -> None:
    found = {g.name: (g.meter, g.beats) for g in read_grooves(library(tmp_path))}
    assert found == {"Polka": ((4, 4), 4), "VWaltz": ((3, 4), 3), "68March": ((6, 8), 2)}


@pytest.mark.parametrize(
    ("meter", "groove", "asked", "bass"),
    [
        ((4, 4), "Polka", ["1 C / Am7 /", "2 Am7 / / /"], np.arange(10, 18, 1.0)),
        ((2, 4), "Polka", ["1 C Am7 Am7 /"], np.arange(10, 14, 1.0)),  # two bars in one of the groove
        ((6, 8), "68March", ["1 C Am7", "2 Am7 /"], np.arange(10, 16, 1.5)),
    ],
)
def test_chords_fall_on_beats_and_what_is_played_on_bars(
    tmp_path: Path,
    meter: tuple[int, int],
    groove: str,
    asked: list[str],
    bass: np.ndarray,
) -> None:
    """Two bars that begin at quarter 10 of the piece, C and half way Am7, which holds."""
    quarters = meter[0] * 4.0 / meter[1]
    bars = [
        StemBar(10.0, meter, ((10.0, 0, MAJ), (10.0 + quarters / 2, 9, MIN7))),
        StemBar(10.0 + quarters, meter, ()),
    ]
    if meter == (2, 4):
        bars[1] = StemBar(12.0, meter, ((12.0, 9, MIN7),))
    maker = MmaViewMaker({}, stub(tmp_path, len(bass)), library(tmp_path))
    voices = maker._play(next(g for g in maker._grooves if g.name == groove), bars)
    assert (tmp_path / "asked").read_text().splitlines() == [f"Groove {groove}", *asked]  # MMA's own word
    by_stem = {v.stem: v for v in voices}
    assert set(by_stem) == {"bass", "harmony", "drums"}
    np.testing.assert_allclose(by_stem["bass"].rows[:, 0], bass)
    np.testing.assert_allclose(by_stem["harmony"].rows[:, 0], bass[::2])
    np.testing.assert_allclose(by_stem["bass"].rows[:, 1], (bass[1] - bass[0]) / 2)
    assert by_stem["bass"].program == 33 and by_stem["drums"].rows[0, 0] == 10.0


def test_a_share_of_the_views_has_grooves(tmp_path: Path) -> None:
    bars = [StemBar(2.0 * i, (2, 4), ((2.0 * i, 0, MAJ),)) for i in range(4)]
    rows = np.array([[i / 2, 0.4, 60 + i, 80] for i in range(16)])
    source = Source(SourceFile(tmp_path / "x", "folk/a/x.mid", "folk"), (), tuple(bars), 100.0, False)
    voices, style = [StemVoice("melody", 0, rows)], built_in_styles()["folk"]
    for share, expected in ((0.0, {False}), (0.5, {False, True}), (1.0, {True})):
        maker = MmaViewMaker({}, stub(tmp_path, 4), library(tmp_path), share)
        made = [
            maker._arranged(style, source, voices, bars, np.random.default_rng(s), TRAINING)
            for s in range(12)
        ]
        assert {any(isinstance(v, Backing) for v in found) for found in made} == expected


def test_a_program_that_fails_leaves_the_piece_to_the_arranger_of_our_own(tmp_path: Path) -> None:
    maker = MmaViewMaker({}, tmp_path / "nothing", library(tmp_path))
    assert maker._play(maker._grooves[0], [StemBar(0.0, (4, 4), ((0.0, 0, MAJ),))]) == []
