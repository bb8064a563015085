"""A whole run with a very small model, a judge that hears pitch, and no corpus."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakeband import Beeper, Judge
from training_folder import write_folder, write_model
from training_run import Silent

from melodygen.errors import CheckpointError, UsageError
from melodygen.evaluation.diversity import Diversity
from melodygen.generation.neural import load_generator
from melodygen.nets.checkpoint import read_config
from melodygen.tokens.codec import decode_header, encode
from melodygen.tokens.grid import GridBar, Piece
from melodygen.training.generator.run import Stopped
from melodygen.training.preference import run as stages
from melodygen.training.preference.candidates import Rated
from melodygen.training.preference.checkpoint import figures_of, write_checkpoint
from melodygen.training.preference.config import PreferenceConfig, check_preference
from melodygen.training.preference.dpo import Pair
from melodygen.training.preference.human_music import read_human_music
from melodygen.training.preference.measures import Floor, compare
from melodygen.training.preference.run import Outcome, draw_groups, draw_kept, num_groups, run_preference
from melodygen.training.preference.setup import Ears, begin, resume

SMALL = PreferenceConfig(
    "jazz",
    bars=2,
    pairs=9,
    steps=8,
    learning_rate=1e-3,
    leash=0.5,
    check_pieces=3,
    measure_pieces=6,
    kept_pieces=3,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny", seed=3, plays=True)


def ears(stop: Callable[[], bool] = lambda: False) -> Ears:
    return Ears(Beeper(), Judge(), Silent(), stop)


def ended(
    model: Path, work: Path, config: PreferenceConfig = SMALL, goes_on: bool = False, stop_at: int = 0
) -> Outcome:
    """Run to the end, or stop at the n-th question."""
    work.mkdir(parents=True, exist_ok=True)
    asked = iter(range(1, 100_000))
    heard = ears((lambda: next(asked) >= stop_at) if stop_at else (lambda: False))
    setting = resume(work, heard) if goes_on else begin(config, model, work, None, heard)
    kept = draw_kept(setting)
    outcome = run_preference(setting, kept, draw_groups(setting, num_groups(setting.config.pairs)))
    if outcome.progress.best:
        write_checkpoint(setting, work / "out", outcome)
    return outcome


@pytest.fixture(scope="module")
def unbroken(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    work = tmp_path_factory.mktemp("unbroken")
    return work, ended(model, work)


def test_it_learns_and_says_what_changed(unbroken: tuple[Path, Outcome], model: Path) -> None:
    work, outcome = unbroken
    assert outcome.progress.best and outcome.pairs >= 4 and outcome.held >= 1
    assert outcome.progress.curve[-1].train_loss < 0.6 and 0 < outcome.divergence <= SMALL.leash
    names = [row.name for row in outcome.rows]
    assert {"style probability", "quality", "second judge", "distinct n-grams", "entropy"} <= set(names)
    assert not any(row.fell for row in outcome.rows if row.tuned_by)
    assert outcome.judge == "what the start writes in 2 styles"
    config = read_config(work / "out", "generator")
    assert config["provenance"]["from"]["model_id"].startswith("tiny@")
    assert config["provenance"]["tuned"]["style"] == "jazz"
    figures = config["provenance"]["figures"]
    assert figures == json.loads(json.dumps(figures_of(outcome))) and figures["better"] is outcome.better
    card = (work / "out" / "README.md").read_text()
    assert (
        "second judge" in card and outcome.verdict[1:] in card and str(work) not in card + json.dumps(config)
    )
    drafts = load_generator(str(work / "out")).generate(
        stages.usual_request(load_generator(str(work / "out")), "jazz", 2), [1]
    )
    assert drafts[0].score.tracks
    assert (work / "out" / "model.safetensors").read_bytes() != (model / "model.safetensors").read_bytes()


@pytest.mark.parametrize("stop_at", [3, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    unbroken: tuple[Path, Outcome], model: Path, tmp_path: Path, stop_at: int
) -> None:
    with pytest.raises(Stopped, match="go on with --resume") as stopped:
        ended(model, tmp_path, stop_at=stop_at)
    assert stopped.value.exit_code == 130 and not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*.part*"))
    outcome = ended(model, tmp_path, goes_on=True)
    work, whole = unbroken
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        work / "out" / "model.safetensors"
    ).read_bytes()
    assert outcome.rows == whole.rows and outcome.progress.curve == whole.progress.curve


def test_a_net_that_leaves_the_leash_is_turned_back(model: Path, tmp_path: Path) -> None:
    wild = replace(SMALL, learning_rate=0.3, leash=0.001)
    outcome = ended(model, tmp_path, wild)
    assert outcome.progress.turned_back == 3 and outcome.progress.finished
    assert not outcome.progress.best and not outcome.better and "divergence" in outcome.verdict
    assert outcome.divergence == 0.0  # it is the start again
    rates = [check.step for check in outcome.progress.curve]
    assert rates == [2, 4, 6]  # the third time it ends


def test_a_net_that_writes_one_piece_again_and_again_is_turned_back(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs that all prefer one note over and over, a long leash and a high rate: the floor of diversity stops it."""
    bar = GridBar((4, 4), {"melody": tuple((at, 2, 5, 60) for at in range(0, 48, 6))})

    def dull(setting: stages.Setting, groups: list[list[Rated]]) -> tuple[list[Pair], list[Pair]]:
        others = [rated.example("jazz", 1024) for group in groups for rated in group][:8]
        ids = [encode(Piece((bar, bar), 120.0), decode_header(e.ids.tolist())[0]) for e in others]
        preferred = [replace(e, ids=np.array(i, dtype=np.int16)) for e, i in zip(others, ids, strict=True)]
        pairs = [Pair(one, other) for one, other in zip(preferred, others, strict=True)]
        return pairs[:6], pairs[6:]

    monkeypatch.setattr(stages, "split_pairs", dull)
    greedy = replace(SMALL, steps=40, learning_rate=3e-2, leash=10.0, check_pieces=6)
    outcome = ended(model, tmp_path, greedy)
    refused = [check for check in outcome.progress.curve if check.refused]
    assert refused and all(
        "limit" in check.refused and "divergence" not in check.refused for check in refused
    )
    assert outcome.progress.curve[0].accuracy == 1.0  # it did learn what it was told to
    assert not outcome.better


def test_changed_beginnings_are_refused(model: Path, tmp_path: Path) -> None:
    copy = write_model(tmp_path / "tiny", seed=3, plays=True)
    work = tmp_path / "w"
    work.mkdir()
    begin(SMALL, copy, work, None, ears())
    with pytest.raises(UsageError, match="the classifier is not the one the run began with"):
        other = Judge()
        other.classifier_id = "another"
        resume(work, replace(ears(), classifier=other))
    write_model(copy, seed=4)
    with pytest.raises(CheckpointError, match="has changed since the run began"):
        resume(work, ears())
    (work / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not of a preference run"):
        resume(work, ears())


def test_a_judge_needs_something_to_tell_the_style_from(tmp_path: Path) -> None:
    alone = write_model(tmp_path / "alone", styles=("jazz",), plays=True)
    with pytest.raises(UsageError, match=r"knows no other style; name a folder .* with --reference"):
        ended(alone, tmp_path / "w")


def test_human_music_gives_the_judge_and_the_yardsticks(tmp_path: Path) -> None:
    write_folder(tmp_path, "jazz", 24)
    write_folder(tmp_path, "folk", 9, up=False, seed=50)
    music = read_human_music(tmp_path, "jazz", 4, 1)
    assert set(music.judges("jazz")) == {"jazz", "folk"} and 0 < len(music.unseen) < len(music.pieces["jazz"])
    assert "top line repeats" in music.quartiles("jazz")
    assert music.diversity("jazz", 5, 1) is not None and music.diversity("jazz", 500, 1) is None
    with pytest.raises(UsageError, match="holds no polka; it holds folk, jazz"):
        read_human_music(tmp_path, "polka", 4, 1)
    alone = read_human_music(tmp_path / "jazz", "reels", 4, 1)
    assert set(alone.pieces) == {"reels"} and alone.judges("reels") == {}
    assert read_human_music(None, "jazz", 4, 1).quartiles("jazz")  # shipped with the program


def test_what_falls_and_what_does_not() -> None:
    before = {"style probability": (0.5, 0.05), "entropy": (5.0, 0.1), "likeness of pieces": (0.1, 0.01)}
    rows = compare(
        before, {"style probability": (0.2, 0.05), "entropy": (4.9, 0.1), "likeness of pieces": (0.2, 0.01)}
    )
    assert [(r.name, r.fell) for r in rows] == [
        ("style probability", False), ("entropy", False), ("likeness of pieces", True)
    ]  # fmt: skip
    human = {"loss on human music": (1.0, 0.0)}
    assert not compare(human, {"loss on human music": (1.02, 0.0)})[0].fell
    assert compare(human, {"loss on human music": (1.04, 0.0)})[0].fell


def test_the_floor_is_the_starts_or_that_of_people() -> None:
    start = Diversity(0.8, 6.0, 0.02)
    assert Floor(start).broken(Diversity(0.75, 5.8, 0.025)) == ""
    assert Floor(start).broken(Diversity(0.6, 6.0, 0.02)) == "distinct n-grams 0.600, limit 0.680"
    assert Floor(start, Diversity(0.55, 5.0, 0.02)).broken(Diversity(0.6, 5.0, 0.02)) == ""
    assert "likeness" in Floor(start).broken(Diversity(0.8, 6.0, 0.2))
    assert "entropy" in Floor(start).broken(Diversity(0.8, 3.0, 0.02))
    assert Floor(start).broken(Diversity(0.8, float("nan"), 0.02))  # silence is no diversity


def test_time_is_fitted_with_pairs_and_steps(model: Path, tmp_path: Path) -> None:
    setting = begin(replace(SMALL, minutes=2), model, tmp_path, None, ears())
    config = setting.config
    assert (
        config.pairs > SMALL.pairs and config.steps > SMALL.steps
    )  # two minutes are long for so small a net
    assert resume(tmp_path, ears()).config == config and setting.record.asked.pairs == SMALL.pairs
    (tmp_path / "short").mkdir()
    with pytest.raises(UsageError, match=r"--time 0.01m is too short at this pace .* give \d+m or more"):
        begin(replace(SMALL, minutes=0.01), model, tmp_path / "short", None, ears())


def test_the_classifier_of_the_start_goes_with_it(
    unbroken: tuple[Path, Outcome], model: Path, tmp_path: Path
) -> None:
    start = write_model(tmp_path / "start", seed=3, plays=True)
    for folder, told in ((start, "mine"), (tmp_path / "out", "stale")):
        (folder / "classifier").mkdir(parents=True)
        (folder / "classifier" / "config.json").write_text(told)
    work = tmp_path / "w"
    work.mkdir()
    setting = begin(SMALL, start, work, None, ears())
    write_checkpoint(setting, tmp_path / "out", unbroken[1])
    assert (tmp_path / "out" / "classifier" / "config.json").read_text() == "mine"
    write_checkpoint(begin(SMALL, model, work, None, ears()), tmp_path / "out", unbroken[1])
    assert not (tmp_path / "out" / "classifier").exists()


def test_impossible_requests() -> None:
    for wrong in ({"beta": 0.0}, {"pairs": 1}, {"steps": 0}, {"leash": -1.0}, {"minutes": 0.1}, {"bars": 1}):
        with pytest.raises(UsageError, match=f"--{'time' if 'minutes' in wrong else next(iter(wrong))} "):
            check_preference(replace(SMALL, **wrong))  # type: ignore[arg-type]
