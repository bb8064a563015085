"""What a producer chooses from: kept candidates, a picked one, stems and MIDI files for single tracks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakeband import Beeper, Judge, Writer

from melodygen.audio.buffer import Audio
from melodygen.audio.files import read_audio
from melodygen.errors import OutputExistsError, UsageError
from melodygen.io.midi import read_midi
from melodygen.music.score import Score
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.request import LoopOptions
from melodygen.services.generate import GenerateRequest, GenerateResult, prepare, run
from melodygen.services.models import LoadedModels
from melodygen.services.saving import OutputOptions, Sound


def asked(folder: Path, output: OutputOptions = OutputOptions(), **loop: int) -> GenerateRequest:  # noqa: B008
    return GenerateRequest(
        {"style": "jazz", "bars": 2, "tracks": "melody,bass"},
        LoopOptions(**{"seed": 7, "candidates": 4, "max_rounds": 1, **loop}),
        output=replace(output, out=folder / "piece.mid", formats=output.formats or "mid"),
    )


def written(request: GenerateRequest, additive: bool = False) -> GenerateResult:
    models = LoadedModels(Writer(), AdditiveRenderer() if additive else Beeper(), Judge())
    (result,) = run(prepare(request), lambda stage, done: None, models)
    return result


def test_a_renderer_of_any_package_that_tells_how_far_it_is_is_asked(tmp_path: Path) -> None:
    class Telling(Beeper):
        def render_with_progress(
            self,
            score: Score,
            progress: Callable[[float], None],
            sample_rate: int = 44_100,
            quality: str = "full",
        ) -> Audio:
            progress(0.5)
            return self.render(score, sample_rate, quality)

    told: list[float] = []
    score = read_midi(Path(written(asked(tmp_path)).report.files["mid"]))
    for renderer in (Telling(), Beeper()):
        sound = Sound.of(score, renderer, True, False, told.append)
        assert sound.mix is not None and np.array_equal(sound.mix.samples, Beeper().render(score).samples)
    assert told == [0.5]
    assert Sound.of(score, Telling(), False, False, told.append).mix is None and told == [0.5]


def test_kept_candidates_are_the_best_and_any_of_them_can_be_picked(tmp_path: Path) -> None:
    report = written(asked(tmp_path, OutputOptions(keep=3))).report
    assert [kept.number for kept in report.kept] == [1, 2, 3]
    figures = [kept.style_probability for kept in report.kept]
    assert figures == sorted((c.style_probability for c in report.candidates), reverse=True)[:3]
    assert read_midi(tmp_path / "piece.mid") == replace(
        read_midi(tmp_path / "piece-candidate-1.mid"), title=read_midi(tmp_path / "piece.mid").title
    )
    for kept in report.kept:
        picked = written(asked(tmp_path / str(kept.number), pick=kept.number))
        own = read_midi(tmp_path / str(kept.number) / "piece.mid")
        assert own.tracks == read_midi(Path(kept.files["mid"])).tracks
        assert picked.report.chosen_seed == kept.seed and picked.report.picked == kept.number
        assert ("--pick" in picked.report.command) == (kept.number > 1)


def test_a_file_for_each_track(tmp_path: Path) -> None:
    output = OutputOptions(formats="mid,wav,dawproject", stems=True, split=True, bit_depth=24)
    report = written(asked(tmp_path, output), additive=True).report
    names = ["1-melody.mid", "2-bass.mid", "1-melody.wav", "2-bass.wav"]
    assert [Path(path).name for path in report.track_files] == names
    whole = read_midi(tmp_path / "piece.mid")
    for track, path in zip(whole.tracks, report.track_files, strict=False):
        alone = read_midi(Path(path))
        assert alone.tracks == (track,) and alone.tempos == whole.tempos
    stems = [read_audio(path).samples for path in report.track_files[2:]]
    mix = read_audio(tmp_path / "piece.wav").samples
    assert np.abs(np.sum(stems, axis=0) - mix).max() < 3 * 2**-23  # 24 bits: half a step for each file
    assert soundfile.info(report.track_files[2]).subtype == "PCM_24"
    with soundfile.SoundFile(tmp_path / "piece.wav") as file:
        assert file.subtype == "PCM_24"


def test_what_cannot_be_is_said_before_anything_is_written(tmp_path: Path) -> None:
    for output, loop, words in (
        (OutputOptions(keep=5), {}, "keep 5 is not possible: 4 candidates .* give 1 to 4"),
        (OutputOptions(), {"pick": 5}, "pick 5 is not possible: 4 candidates .* give 1 to 4"),
        (OutputOptions(bit_depth=20), {}, "bit depth 20 is not possible; give 16 or 24"),
    ):
        with pytest.raises(UsageError, match=words):
            prepare(asked(tmp_path, output, **loop))
    (tmp_path / "piece-tracks").mkdir()
    with pytest.raises(OutputExistsError, match="piece-tracks"):
        prepare(asked(tmp_path, OutputOptions(split=True)))
    with pytest.raises(UsageError, match=r"makes no stems; use --renderer sampler"):
        written(asked(tmp_path / "new", OutputOptions(stems=True)))
    assert [path.name for path in tmp_path.iterdir()] == ["piece-tracks", "new"] or not list(
        tmp_path.glob("*.mid")
    )
