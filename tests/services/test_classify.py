"""The service behind ``melodygen classify``: what appears in a folder is classified once it is complete."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakeband import Judge

from melodygen.classification.recognizer import RecognitionOptions, TrackClassifier
from melodygen.classification.result import TrackError, TrackResult
from melodygen.errors import UsageError
from melodygen.services import classify
from melodygen.services.classify import ClassifyRequest, Outcome, prepare, run, watch


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that is no CNN: it has neither windows nor a music head."""
    monkeypatch.setattr(classify, "load_recognizer", lambda spec: TrackClassifier(Judge(), Judge()))


def wav(path: Path, level: float) -> Path:
    noise = np.random.default_rng(1).standard_normal(16_000)
    soundfile.write(path, (level * np.clip(noise, -1, 1)).astype(np.float32), 8_000)
    return path


def test_results_come_in_order_and_a_bad_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [wav(tmp_path / f"{n}.wav", 0.5) for n in (1, 2)]
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF no music")
    request = ClassifyRequest(
        (good[0], bad, good[1]), options=RecognitionOptions(rhythm=False, segments=True), workers=1,
        csv=tmp_path / "out" / "table.csv",
    )  # fmt: skip
    seen: list[tuple[Outcome, int]] = []
    result = run(prepare(request), lambda outcome, done: seen.append((outcome, done)))
    assert [done for _, done in seen] == [1, 2, 3]
    first, failure, second = result.tracks
    assert isinstance(first, TrackResult) and isinstance(second, TrackResult)
    assert isinstance(failure, TrackError) and result.num_failed == 1
    assert first.styles == second.styles and first.music is None and len(first.segments) == 1
    assert len((tmp_path / "out" / "table.csv").read_text().splitlines()) == 4
    assert result.to_dict(1)["failed"] == 1
    assert capsys.readouterr() == ("", "")


def test_nothing_to_classify_is_said(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    wav(tmp_path / "deeper" / "a.wav", 0.1)
    with pytest.raises(UsageError, match="--recursive"):
        prepare(ClassifyRequest((tmp_path,)))
    assert len(prepare(ClassifyRequest((tmp_path,), recursive=True)).files) == 1


def test_a_file_is_classified_when_it_has_stopped_growing(tmp_path: Path) -> None:
    wav(tmp_path / "old.wav", 0.5)
    target, naps = tmp_path / "new.wav", 0

    def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 2:
            target.write_bytes(b"RIFF")
        elif naps == 3:
            wav(target, 0.5)

    request = ClassifyRequest((), options=RecognitionOptions(rhythm=False))
    found = list(watch(tmp_path, request, sleep, should_stop=lambda: naps >= 6))
    assert [Path(outcome.path).name for outcome in found] == ["new.wav"]
    assert isinstance(found[0], TrackResult) and naps == 6
    with pytest.raises(UsageError, match="is not a folder"):
        watch(tmp_path / "none", request)
