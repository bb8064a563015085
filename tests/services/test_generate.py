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
