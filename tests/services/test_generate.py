"""The service behind ``melodygen generate``: files and report as from the command, and nothing printed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakeband import Beeper, Judge, Writer

from melodygen.errors import NoPieceError, OutputExistsError, StyleNotReachedError, UsageError
from melodygen.generation.loop import Composition, compose
from melodygen.io.midi import read_midi, write_midi
from melodygen.music.score import TimeSignature
from melodygen.request import LoopOptions
from melodygen.services.generate import GenerateRequest, GenerateResult, prepare, run
from melodygen.services.models import LoadedModels
from melodygen.services.requests import build_request
from melodygen.services.saving import OutputOptions


def asked(folder: Path, **controls: Any) -> GenerateRequest:
    return GenerateRequest(
        {"style": "jazz", "bars": 2, **controls},
        LoopOptions(seed=7, candidates=2, max_rounds=1),
        output=OutputOptions(folder / "piece.mid", "mid,wav"),
    )


def written(request: GenerateRequest, judge: str = "") -> list[GenerateResult]:
    models = LoadedModels(Writer(), Beeper(), Judge(judge))
    return list(run(prepare(request), lambda stage, done: None, models))


def test_files_and_report_agree_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = written(asked(tmp_path, meter="3/4", tracks="melody,bass", key=(0, "major")))
    report = result.report
    assert set(report.files) == {"mid", "wav"} and all(Path(path).is_file() for path in report.files.values())
    score = read_midi(tmp_path / "piece.mid")
    assert [track.role for track in score.tracks] == ["melody", "bass"] == list(report.tracks)
    assert (report.meter, report.seed, len(report.candidates)) == ("3/4", 7, 2)
    assert (
        report.command
        == (
            "melodygen generate --style jazz --bars 2 --meter 3/4 --key C --tracks melody,bass "
            "--candidates 2 --max-rounds 1 --seed 7"
        )
        or "--key 'C major'" in report.command
    )
    assert report.style_probability == result.composition.style_probability
    assert capsys.readouterr() == ("", "")


def test_swing_and_humanize_reach_the_file(tmp_path: Path) -> None:
    plain = written(asked(tmp_path / "plain", meter="6/8"))[0].composition.score
    for feel in ({"swing": 0.6}, {"humanize": 0.5}):
        felt = written(asked(tmp_path / next(iter(feel)), meter="6/8", **feel))[0].composition.score
        assert felt != plain and felt.num_notes == plain.num_notes
    again = written(asked(tmp_path / "again", meter="6/8", swing=0.5, humanize=0.0))[0].composition.score
    assert again == plain


def test_what_is_wrong_is_known_before_models_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bars 0 is not possible"):
        prepare(asked(tmp_path, bars=0))
    with pytest.raises(UsageError, match="did you mean 'density'"):
        prepare(asked(tmp_path, densety=0.5))
    (tmp_path / "piece.mid").write_text("dear")
    with pytest.raises(OutputExistsError):
        prepare(asked(tmp_path))
    assert (tmp_path / "piece.mid").read_text() == "dear"


def test_strict_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StyleNotReachedError, match="nothing was written"):
        written(replace(asked(tmp_path), strict=True), judge="harsh")
    assert list(tmp_path.iterdir()) == []


def test_a_piece_that_fails_keeps_no_other_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(replace(asked(tmp_path), count=3))
    first, bad, last = prepared.seeds

    def composed(*arguments: Any, seed: int, **more: Any) -> Composition:
        if seed == bad:
            raise NoPieceError("none of 2 candidates can be played")
        return compose(*arguments, seed=seed, **more)

    monkeypatch.setattr("melodygen.services.generate.compose", composed)
    found = []
    models = LoadedModels(Writer(), Beeper(), Judge(""))
    with pytest.raises(NoPieceError, match=f"1 of 3 pieces are missing: seed {bad}: none of 2"):
        for result in run(prepared, lambda stage, done: None, models):
            found.append(result.report.seed)
    assert found == [first, last] and len(list(tmp_path.glob("*.mid"))) == 2


def test_a_request_follows_the_piece_it_works_on(tmp_path: Path) -> None:
    (result,) = written(asked(tmp_path, qpm=77, meter="3/4", tracks="melody"))
    score = result.composition.score
    by_score = build_request({"style": "jazz", "given": score, "given_roles": "melody"})
    assert (by_score.bars, by_score.meter, by_score.tracks[0]) == (2, (3, 4), "melody")
    write_midi(tmp_path / "again.mid", score)
    by_path = build_request({"style": "jazz", "given": tmp_path / "again.mid", "given_roles": ("melody",)})
    assert (by_path.bars, by_path.meter, by_path.tracks) == (by_score.bars, by_score.meter, by_score.tracks)
    assert by_path.qpm == pytest.approx(77, abs=0.01)


def test_values_that_change_nothing_are_said_before(tmp_path: Path) -> None:
    controls = {
        "tracks": "melody", "instruments": "bass=tuba", "ranges": "bass=C1:C2", "track_density": "drums=low",
        "chords": "C | F | G",
    }  # fmt: skip
    said = prepare(asked(tmp_path, **controls)).warnings
    assert [text.split()[0] for text in said] == ["--instruments", "--range", "--track-density", "--chords"]
    assert "names bass, which is not written" in said[0] and "has 3 bars and the piece 2" in said[3]
    assert not prepare(asked(tmp_path, instruments="bass=tuba", chords="C | F")).warnings

    (mine,) = written(asked(tmp_path, tracks="melody,bass"))
    write_midi(tmp_path / "mine.mid", mine.composition.score)
    around = {
        "bars": None,
        "given": tmp_path / "mine.mid",
        "given_roles": "melody",
        "instruments": "melody=trumpet",
    }
    assert "which is given and stays as it is" in "".join(prepare(asked(tmp_path / "new", **around)).warnings)


def test_a_fill_changes_the_tracks_that_are_named(tmp_path: Path) -> None:
    (mine,) = written(asked(tmp_path, tracks="melody,bass,chords"))
    write_midi(tmp_path / "mine.mid", mine.composition.score)
    around = {"bars": None, "given": tmp_path / "mine.mid", "fill": "2:1"}
    request = build_request({"style": "jazz", **around, "tracks": "bass"})
    assert set(request.given_roles) == {"melody", "chords"}
    request = build_request({"style": "jazz", **around, "given_roles": "melody"})
    assert request.given_roles == ("melody",) and set(request.tracks) == {"melody", "chords", "bass"}
    everything = {"bars": None, "given": tmp_path / "mine.mid", "given_roles": "melody,chords,bass"}
    with pytest.raises(UsageError, match="keeps melody, chords, bass, and nothing is left to write"):
        build_request({"style": "jazz", **everything, "tracks": "bass"})
    with pytest.raises(UsageError, match="no track to write; the piece has"):
        build_request({"style": "jazz", **around, "tracks": "drums"})
    said = prepare(asked(tmp_path / "new", **around, tracks="bass,drums")).warnings
    assert len([text for text in said if "bass" in text]) == 1 and "names drums" in said[-1]


def test_the_meter_of_a_piece_with_a_pickup_is_told(tmp_path: Path) -> None:
    (mine,) = written(asked(tmp_path, tracks="melody", meter="3/4"))
    score = mine.composition.score
    meters = (TimeSignature(0, 1, 4), TimeSignature(score.ticks_per_quarter, 3, 4))
    write_midi(tmp_path / "pickup.mid", replace(score, time_signatures=meters))
    around = {"bars": None, "given": tmp_path / "pickup.mid", "given_roles": "melody", "tracks": "bass"}
    assert written(asked(tmp_path / "new", **around))[0].report.meter == "3/4"


def test_a_continuation_has_the_tracks_of_its_beginning(tmp_path: Path) -> None:
    (mine,) = written(asked(tmp_path, tracks="bass,melody"))
    write_midi(tmp_path / "mine.mid", mine.composition.score)
    assert build_request({"style": "jazz", "prompt": tmp_path / "mine.mid"}).tracks == ("melody", "bass")
    prepared = prepare(asked(tmp_path / "new", prompt=tmp_path / "mine.mid", tracks="melody,drums"))
    assert prepared.request.tracks == ("melody", "drums")
    assert len(prepared.warnings) == 1 and "names drums, which the prompt has not" in prepared.warnings[0]
