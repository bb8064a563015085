"""Training on a folder: the same result after a stop as without, old styles kept, files and messages."""

from __future__ import annotations

import errno
import json
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_folder import tune, write_folder, write_model
from training_run import CPU, SMALL, Silent, begun

from melodygen.data.scan import find_files
from melodygen.data.shards import load_shards
from melodygen.errors import CheckpointError, CorpusError, MelodygenError, OutputExistsError, UsageError
from melodygen.generation.neural import load_generator
from melodygen.io.midi import write_midi
from melodygen.nets.checkpoint import read_config
from melodygen.request import Request
from melodygen.services import models as services
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.classifier.recordings import AdaptRecipe
from melodygen.training.classifier.trainer import ClassifierRecipe
from melodygen.training.distributed import DistributedContext
from melodygen.training.generator.checkpoint import finish
from melodygen.training.generator.config import TrainingConfig, check_config
from melodygen.training.generator.fine_tuning import Tuning
from melodygen.training.generator.record import RunRecord
from melodygen.training.generator.run import Stopped, Validator, learn, make_tuning, prepare
from melodygen.training.generator.setup import check_resumed, data_id
from melodygen.training.generator.state import disk_errors
from melodygen.training.generator.trainer import GeneratorRecipe
from melodygen.training.generator.work_folder import working_folder
from melodygen.training.muon import Muon, orthogonal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("music"), "rising", 5)


def ended(record: RunRecord, work: Path, out: Path, stop_after: int | None = None) -> bytes:
    """Learn to the end, or stop; the weights that were written."""
    run = prepare(work, record, CPU, DistributedContext())
    steps = iter(range(1, 1000))
    stop = (lambda: next(steps) >= stop_after) if stop_after else (lambda: False)
    progress = learn(run, work, DistributedContext(), Silent(), stop=stop)
    finish(run, work, out, progress)
    return (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unbroken(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, bytes]:
    out = tmp_path_factory.mktemp("unbroken")
    work = out / "w"
    return out, work, ended(begun(folder, work), work, out)


def test_a_stopped_run_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, unbroken: tuple[Path, Path, bytes]
) -> None:
    work = tmp_path / "w"
    record = begun(folder, work)
    with pytest.raises(Stopped, match="step 4 of 10; go on with --resume"):
        ended(record, work, tmp_path, stop_after=4)
    assert not (tmp_path / "model.safetensors").exists()
    assert ended(RunRecord.read(work), work, tmp_path) == unbroken[2]


def test_learning_changes_the_weights_and_lowers_the_loss(unbroken: tuple[Path, Path, bytes]) -> None:
    points = [json.loads(line) for line in (unbroken[0] / "training" / "log.jsonl").read_text().splitlines()]
    assert [p["step"] for p in points] == [0, 10]  # at least ten steps apart
    assert points[-1]["valid"] < points[0]["valid"] - 0.2


def test_tensorboard_shows_curves_and_samples(
    unbroken: tuple[Path, Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from melodygen.rendering.additive import AdditiveRenderer
    from melodygen.training.generator import tensorboard as events

    monkeypatch.setattr(events, "load_renderer", lambda: AdditiveRenderer(None))
    run = prepare(unbroken[1], RunRecord.read(unbroken[1]), CPU, DistributedContext())
    with events.open_events(tmp_path, run) as log:
        learn(run, tmp_path, DistributedContext(), Silent(), each=log.point)
    found = accumulator.EventAccumulator(str(tmp_path))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"loss/validation", "loss/training"}
    points = [json.loads(row) for row in (tmp_path / "log.jsonl").read_text().splitlines()]
    shown = [(e.step, e.value) for e in found.Scalars("loss/validation")]
    assert shown == [(p["step"], pytest.approx(p["valid"], rel=1e-5)) for p in points]
    roll, sound = found.Images("sample/rising")[-1], found.Audio("sample/rising")[-1]
    assert roll.encoded_image_string.startswith(b"\x89PNG") and roll.width > roll.height > 100
    assert sound.encoded_audio_string[:4] == b"RIFF" and sound.length_frames > 22_050 and sound.step == 10


def test_what_is_written(unbroken: tuple[Path, Path, bytes], folder: Path) -> None:
    out = unbroken[0]
    config = read_config(out, "generator")
    assert [s["name"] for s in config["styles"]] == ["rising"]
    style = config["styles"][0]
    assert (style["meter"], style["tracks"], style["programs"]) == ([4, 4], ["melody"], {"melody": 73})
    assert config["provenance"]["data_id"] == data_id(find_files(folder))
    files = (out / "training" / "files.csv").read_text().splitlines()
    assert len(files) == 6 and all(len(line.rsplit(",", 1)[1]) == 64 for line in files[1:])
    card = (out / "README.md").read_text()
    assert "5 files, 5 used" in card and "Licence" in card and "None" not in card
    assert (out / "training" / "curves.png").read_bytes().startswith(b"\x89PNG")
    drafts = load_generator(str(out)).generate(Request("rising", 2, tracks=("melody",)), [1])
    assert drafts[0].score.tracks


def command(folder: Path, out: Path, *more: str) -> list[str]:
    small = (
        "--from",
        "none",
        "--size",
        "tiny",
        "--steps",
        "10",
        "--rows",
        "2",
        "--length",
        "128",
        "--no-classifier",
    )
    return [
        sys.executable,
        "-m",
        "melodygen",
        "train",
        "generator",
        str(folder),
        "-o",
        str(out),
        *small,
        *more,
    ]


def test_a_killed_run_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, env: dict[str, str], unbroken: tuple[Path, Path, bytes]
) -> None:
    out = tmp_path / "killed"
    words = command(folder, out, "--workers", "1", "--save-minutes", "0")
    process = subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while not (out / ".work" / "state.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not (out / "config.json").exists()
    again = subprocess.run([*words, "--resume"], env=env, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert (out / "model.safetensors").read_bytes() == unbroken[2]
    assert not (out / ".work").exists()


def test_a_full_disk_is_said_and_leaves_no_torn_file(
    folder: Path, tmp_path: Path, env: dict[str, str]
) -> None:
    out = tmp_path / "full"

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    done = subprocess.run(
        command(folder, out, "--workers", "1"),
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=little_room,
    )
    assert done.returncode == 1
    assert "disk is full" in done.stderr and "Traceback" not in done.stderr
    assert not (out / "config.json").exists() and not list(out.rglob("*.part*"))


def test_resume_refuses_other_data_and_other_options(folder: Path, tmp_path: Path) -> None:
    mine = write_folder(tmp_path, "rising", 3)
    record = begun(mine, tmp_path / "w")
    assert (
        RunRecord.from_json(json.loads(json.dumps(record.to_json())))
        == record
        == RunRecord.read(tmp_path / "w")
    )
    assert check_resumed(record, mine, SMALL, {"steps"}, DistributedContext()) == SMALL
    with pytest.raises(UsageError, match="--steps 99: the run was begun with 10"):
        check_resumed(record, mine, replace(SMALL, steps=99), {"steps"}, DistributedContext())
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        RunRecord.from_json({**record.to_json(), "vocabulary_id": "other"})
    write_midi(mine / "rising" / "rising-a.mid", tune(99, True), overwrite=True)
    with pytest.raises(CorpusError, match="not those the run was begun with"):
        check_resumed(record, mine, SMALL, set(), DistributedContext())


def test_a_broken_state_is_said(folder: Path, tmp_path: Path) -> None:
    record = begun(folder, tmp_path / "w")
    (tmp_path / "w" / "state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="start again with --force"):
        ended(record, tmp_path / "w", tmp_path)


def test_the_folder_that_is_there_is_not_overwritten(
    tmp_path: Path, unbroken: tuple[Path, Path, bytes]
) -> None:
    with (
        pytest.raises(OutputExistsError, match="--force"),
        working_folder(unbroken[0], False, False),
    ):
        pass
    with (
        pytest.raises(UsageError, match="no run to go on with"),
        working_folder(tmp_path, True, False),
    ):
        pass
    with working_folder(tmp_path / "a" / "b", False, False):
        pass
    assert not (tmp_path / "a").exists()  # nothing began: nothing is left
    with working_folder(tmp_path / "c", False, False) as work:
        (work / "run.json").write_text("{}")
    with (
        pytest.raises(OutputExistsError, match="--resume"),
        working_folder(tmp_path / "c", False, False),
    ):
        pass


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (TrainingConfig(net="rnn"), "rnn"),
        (TrainingConfig(size="huge"), "huge"),
        (TrainingConfig(steps=3, minutes=3.0), "give one"),
        (TrainingConfig(rows=0), "--rows 0"),
        (TrainingConfig(accumulate=9), "--accumulate 9"),
        (TrainingConfig(style="a/b"), "cannot be a name"),
        (TrainingConfig(replay=1.0), "--replay 1"),
    ],
)
def test_a_plan_that_cannot_be(plan: TrainingConfig, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_config(plan)


def test_one_file_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="one usable file"):
        begun(write_folder(tmp_path / "one", "rising", 1), tmp_path / "w")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="no file ends in"):
        begun(tmp_path / "empty", tmp_path / "w")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "letter.mid").write_text("dear reader")
    with pytest.raises(CorpusError, match="none of 1 files can be used: 1 × not a MIDI file"):
        begun(tmp_path / "text", tmp_path / "w")


def test_every_style_has_something_to_validate_on(tmp_path: Path) -> None:
    write_folder(tmp_path / "m", "rising", 2)
    write_folder(tmp_path / "m", "falling", 3, up=False, seed=50)
    begun(tmp_path / "m", tmp_path / "w")
    splits = {(p.style, p.split) for p in load_shards(tmp_path / "w" / "shards").pieces}
    assert splits == {(s, p) for s in ("rising", "falling") for p in ("train", "valid")}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord, Path]:
    """A run begun from a model of two styles, with replay."""
    root = tmp_path_factory.mktemp("tuned")
    base = write_model(root / "base")
    music = write_folder(root / "music", "falling", 4, up=False)
    plan = replace(SMALL, source=str(base), replay_pieces=2, learning_rate=3e-3, steps=20)
    return base, begun(music, root / "w", plan), root / "w"


def test_replay_keeps_what_the_old_model_said(tuned: tuple[Path, RunRecord, Path]) -> None:
    """The same steps with and without replay: with it the old model's music stays likely, and the new is learned."""
    change = {}
    for share in (0.5, 0.0):
        record = replace(tuned[1], config=replace(tuned[1].config, replay=share))
        run = prepare(tuned[2], record, CPU, DistributedContext())
        tuning = make_tuning(run, DistributedContext())
        check = Validator(run)
        before = check(tuning.average)
        for _ in tuning.run():
            pass
        after = check(run.net.state_dict())
        assert before[1] is not None and after[1] is not None
        change[share] = abs(after[1] / before[1] - 1), after[0] / before[0] - 1
    assert change[0.5][0] < 0.8 * change[0.0][0]
    assert change[0.5][1] < -0.1


def test_a_new_style_takes_the_next_slot(tuned: tuple[Path, RunRecord, Path]) -> None:
    assert [s.name for s in tuned[1].styles] == ["jazz", "folk", "falling"]
    run = prepare(tuned[2], tuned[1], CPU, DistributedContext())
    table = run.net.get_parameter("embedding.weight")
    first = VOCABULARY.offsets["style"] + 1
    slot = first + {"jazz": 0, "folk": 1}[tuned[1].base.nearest["falling"]]
    assert torch.equal(table[first + 2], table[slot])
    assert run.old_net is not None and not any(p.requires_grad for p in run.old_net.parameters())


def test_a_base_of_another_vocabulary_or_that_changed_is_refused(
    tuned: tuple[Path, RunRecord, Path], tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "vocabulary_id": "0123"}))
    music = write_folder(tmp_path / "music", "falling", 2, up=False)
    with pytest.raises(CheckpointError, match="speaks vocabulary 0123"):
        begun(music, tmp_path / "w", replace(SMALL, source=str(other)))
    changed = write_model(tmp_path / "changed", seed=5)
    with pytest.raises(CheckpointError, match="has changed"):
        prepare(
            tuned[2],
            replace(tuned[1], base=replace(tuned[1].base, path=str(changed))),
            CPU,
            DistributedContext(),
        )


@pytest.mark.parametrize("native", [True, False])
def test_arithmetic_is_what_the_device_does_natively_and_is_recorded(
    folder: Path, tmp_path: Path, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    recipes = (GeneratorRecipe(), ClassifierRecipe(), AdaptRecipe())
    assert [r.bf16 for r in recipes] == [native] * 3 and not GeneratorRecipe(bf16=False).bf16
    record = begun(folder, tmp_path / "w", replace(SMALL, steps=1))
    monkeypatch.undo()  # a resumed run, perhaps on another machine, goes on as it was begun
    ended(record, tmp_path / "w", tmp_path / "out")
    assert read_config(tmp_path / "out", "generator")["provenance"]["recipe"]["bf16"] is native
    assert f"in {'bfloat16' if native else 'float32'}" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (8, 8)])
@pytest.mark.parametrize("native", [True, False])
def test_muon_is_torchs_in_the_numbers_of_the_device(
    shape: tuple[int, int], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same steps as torch's, which are in bfloat16; in float32 nearer to what is meant."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(shape, generator=generator)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix)
    assert found.dtype == torch.float32 and found.shape == matrix.shape
    assert ((torch.linalg.svdvals(found) - 0.95).abs() < 0.3).all()
    assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), dim=0) > 0.97
    if hasattr(torch.optim, "Muon"):
        both = [torch.nn.Parameter(matrix.clone()) for _ in range(2)]
        theirs = torch.optim.Muon(
            [both[1]], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        )
        ours = Muon([both[0]], 0.02, 0.1)
        for _ in range(3):
            gradient = torch.randn(shape, generator=generator)
            for parameter, optimizer in zip(both, (ours, theirs), strict=True):
                parameter.grad = gradient.clone()
                optimizer.step()
        assert torch.allclose(both[0], both[1], atol=2e-3 * 3)
        assert (both[0] - matrix).abs().mean() > 5e-3
        assert ours.state_dict()["state"].keys() == theirs.state_dict()["state"].keys()


def test_rows_of_two_processes_are_those_of_one(tuned: tuple[Path, RunRecord, Path]) -> None:
    run = prepare(tuned[2], tuned[1], CPU, DistributedContext())
    whole = make_tuning(replace(run, recipe=replace(run.recipe, rows=4)), DistributedContext())

    class Half(DistributedContext):
        def wrap(self, net: torch.nn.Module) -> torch.nn.Module:
            return net

    parts = [make_tuning(run, Half(rank, 2)) for rank in (0, 1)]
    assert np.array_equal(np.concatenate([p.batch(3) for p in parts]), whole.batch(3))
    assert [whole.is_replay(r) for r in range(4)] == [False, True, False, True]
    tokens = torch.from_numpy(whole.batch(3).astype(np.int64))
    mean = (parts[0].loss(tokens[:2], 0).item() + parts[1].loss(tokens[2:], 0).item()) / 2
    assert whole.loss(tokens, 0).item() == pytest.approx(mean, rel=1e-5)


def test_accumulated_gradients_are_those_of_the_whole_batch(tuned: tuple[Path, RunRecord, Path]) -> None:
    run = prepare(tuned[2], replace(tuned[1], dropout=0.0, bf16=False), CPU, DistributedContext())

    def gradients(accumulate: int) -> torch.Tensor:
        tuning: Tuning = make_tuning(
            replace(run, recipe=replace(run.recipe, rows=4, accumulate=accumulate)), DistributedContext()
        )
        run.net.zero_grad()
        tuning.learn(torch.from_numpy(tuning.batch(0).astype(np.int64)))
        return torch.cat([p.grad.flatten() for p in run.net.parameters() if p.grad is not None])

    assert torch.allclose(gradients(1), gradients(3), atol=1e-6)


def test_two_processes_learn_as_one_with_twice_the_batch(
    folder: Path, tmp_path: Path, env: dict[str, str], unbroken: tuple[Path, Path, bytes]
) -> None:
    out = tmp_path / "two"
    options = (
        "--from none --size tiny --steps 10 --rows 1 --length 128 --dropout 0 --no-classifier --workers 1"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    words = [
        *launch,
        "melodygen",
        "train",
        "generator",
        str(folder),
        "-o",
        str(out),
        *options.split(),
        "--device",
        "cpu",
    ]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    work = tmp_path / "w"
    ended(begun(folder, work, replace(SMALL, dropout=0.0)), work, tmp_path / "one")
    losses = [
        [
            json.loads(line)["valid"]
            for line in (tmp_path / n / "training" / "log.jsonl").read_text().splitlines()
        ]
        for n in ("one", "two")
    ]
    assert losses[0] == pytest.approx(
        losses[1], abs=2e-3
    )  # bfloat16, where there is any, rounds sums of other order
    assert losses[0][-1] < losses[0][0] - 0.2


def test_the_classifier_of_a_model_is_found(tmp_path: Path) -> None:
    assert services.classifier_of(None) is None and services.classifier_of(str(tmp_path)) is None
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "config.json").write_text("{}")
    assert services.classifier_of(str(tmp_path)) == tmp_path / "classifier"


def test_a_lstm_can_be_trained_too(folder: Path, tmp_path: Path) -> None:
    plan = replace(SMALL, net="lstm", steps=5)
    record = begun(folder, tmp_path / "w", plan)
    assert record.optimizer == "adamw"
    ended(record, tmp_path / "w", tmp_path / "out")
    assert load_generator(str(tmp_path / "out")).styles == ("rising",)


def test_device_that_is_not_there() -> None:
    from melodygen.training.distributed import choose_device

    assert choose_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="known: auto"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="no such device"):
            choose_device("cuda")


def test_an_error_of_torch_while_saving_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, disk_errors(tmp_path):
        raise RuntimeError("PytorchStreamWriter failed writing file")
    assert caught.value.errno == errno.ENOSPC
    assert issubclass(Stopped, MelodygenError) and Stopped("").exit_code == 130


@pytest.mark.parametrize("net", ["transformer", "lstm"])
def test_onnx_is_what_torch_computes(folder: Path, tmp_path: Path, net: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from melodygen.training.generator.onnx import export_onnx

    if net == "transformer":
        model = write_model(tmp_path / "m")
    else:
        model = tmp_path / "m"
        ended(begun(folder, tmp_path / "w", replace(SMALL, net=net, steps=1)), tmp_path / "w", model)
    report = export_onnx(str(model), tmp_path / "m.onnx")
    assert report["difference"] <= 1e-4
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    assert session.run(None, {"ids": np.ones((2, 37), np.int64)})[0].shape == (2, 37, VOCABULARY.size)
    with pytest.raises(OutputExistsError):
        export_onnx(str(model), tmp_path / "m.onnx")
