"""``melodygen render`` as a service: what of a user's file is kept, and what is said."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf

from melodygen.errors import MidiReadError, OutputExistsError, UsageError
from melodygen.services.render import RenderRequest, render_file

CASES = Path(__file__).parents[1] / "cases"


def quiet(stage: str, done: float) -> None:
    """Nobody watches."""


def two_parts(path: Path, text: str = "") -> Path:
    """A loud organ on the left for a second, then a soft one on the right."""
    midi = mido.MidiFile(type=1)
    for channel, (velocity, pan, at) in enumerate(((120, 0, 0), (40, 127, 960))):
        track = mido.MidiTrack()
        track.append(mido.MetaMessage("track_name", name=("melody", "bass")[channel]))
        if text and not channel:
            track.append(mido.MetaMessage("text", text=text))
        track.append(mido.Message("program_change", program=16, channel=channel))
        track.append(mido.Message("control_change", control=10, value=pan, channel=channel))
        track.append(mido.Message("note_on", note=60, velocity=velocity, channel=channel, time=at))
        track.append(mido.Message("note_off", note=60, channel=channel, time=960))
        midi.tracks.append(track)
    midi.save(str(path))
    return path


def difference_db(path: Path) -> float:
    """How much louder the first second's left side is than the second second's right side."""
    sound, rate = sf.read(path)
    first, second = sound[: int(0.9 * rate), 0], sound[int(1.1 * rate) : int(1.9 * rate), 1]
    return float(10 * np.log10(np.mean(first**2) / np.mean(second**2)))


def test_a_file_of_a_user_keeps_its_balance_and_one_of_ours_that_of_its_roles(tmp_path: Path) -> None:
    users, ours = two_parts(tmp_path / "u.mid"), two_parts(tmp_path / "o.mid", "made by melodygen 9")
    found = {}
    for name, midi, balance in (("own", users, None), ("asked", users, "role"), ("ours", ours, None)):
        result = render_file(RenderRequest(midi, tmp_path / f"{name}.wav", balance=balance), quiet)
        found[name] = difference_db(tmp_path / f"{name}.wav")
        assert result.balance == ("file" if name == "own" else "role")
    assert found["own"] == pytest.approx(40 * np.log10(120 / 40), abs=2.5), "velocity squared"
    assert found["asked"] == pytest.approx(found["ours"], abs=0.1) and found["ours"] < found["own"] - 8


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    result = render_file(RenderRequest(CASES / "vel_200.mid", tmp_path / "v.wav"), quiet)
    assert result.warnings == ("velocity 200 is clipped to 127 (and 31 more)",)
    empty = tmp_path / "empty.mid"
    mido.MidiFile(tracks=[mido.MidiTrack()]).save(str(empty))
    with pytest.raises(MidiReadError, match="there is no note in the file"):
        render_file(RenderRequest(empty, tmp_path / "e.wav"), quiet)
    with pytest.raises(OutputExistsError, match="give another --out, or replace it with --force"):
        render_file(RenderRequest(empty, tmp_path / "v.wav"), quiet)
    with pytest.raises(UsageError, match="--balance loud"):
        render_file(RenderRequest(empty, tmp_path / "e.wav", balance="loud"), quiet)
    assert not (tmp_path / "e.wav").exists()


def test_how_far_it_is_is_told(tmp_path: Path) -> None:
    told: list[float] = []
    midi = two_parts(tmp_path / "u.mid")
    render_file(RenderRequest(midi, tmp_path / "u.wav"), lambda stage, done: told.append(done))
    assert told == sorted(told) and len(set(told)) >= 4 and 0.1 < told[1] < 0.9 <= told[-1] <= 1.0
