"""Builds a style CNN from its recipe: views, stages of training, temperature, checkpoint, music head, exemplars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.audio.features import FrontEndConfig
from melodygen.contracts import Renderer
from melodygen.data.mma import MmaViewMaker
from melodygen.data.scan import SourceFile, find_files
from melodygen.data.views import AS_IS, PLAIN, REORCHESTRATED, TRAINING, ViewMaker
from melodygen.errors import CheckpointError
from melodygen.evaluation.metrics import mean_by_group
from melodygen.nets.checkpoint import CARD, CONFIG, read_config, save_checkpoint
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.default import load_renderer
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.training.classifier.exemplars import keep_exemplars
from melodygen.training.classifier.music_head import fit_music_head, speech_over_music
from melodygen.training.classifier.trainer import (
    ClassifierTrainingState,
    Mixer,
    fit_temperature,
    logits_of,
    train,
)
from melodygen.training.classifier.view_rendering import (
    ViewSource,
    WindowSet,
    group_files,
    read_takes,
    render_store,
    validation_windows,
)
from melodygen.training.classifier.view_store import Store, frames_in, open_store
from melodygen.training.recipes.recipe import ClassifierModelRecipe, CnnRecipe, StageRecipe, ViewsRecipe

NORM_BATCHES, NORM_ROWS, NORM_DISTORT, NORM_SEED = 40, 64, 0.7, 5
"""After a blend the batch norms are measured again on so many batches."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class ClassifierInputs:
    """What a classifier is built from, beside the recipe.

    Attributes:
        corpus: folder of music with a sub-folder for each style, or with manifest.csv.
        fonts: soundfonts that views are rendered with; none: the shipped one.
        speech: a folder of utterances, or None.
        recordings: a folder of recorded music for the music head, or None.
        mma: the program MMA, or None: views with grooves are arranged as the others are.
        mma_library: its library folder.
    """

    corpus: Path
    fonts: tuple[Path, ...] = ()
    speech: Path | None = None
    recordings: Path | None = None
    mma: Path | None = None
    mma_library: Path = Path("/usr/share/mma/lib")


def build_classifier(
    recipe: ClassifierModelRecipe, inputs: ClassifierInputs, work: Path, out: Path, say: Say
) -> dict[str, Any]:
    """Build the checkpoint of a recipe.

    Args:
        recipe: what to build.
        inputs: the corpus, and what belongs to it.
        work: keeps views and nets; called again with the same folder, what is there is used.
        out: the checkpoint folder.
        say: told what happens, a line at a time.

    Returns:
        The config of the checkpoint.
    """
    if (out / CONFIG).is_file() and read_config(out)["kind"] != "classifier":
        raise CheckpointError(f"{out} holds a generator; choose another --out")
    files = find_files(inputs.corpus)
    stores = {v.name: _store(v, recipe, inputs, files, work / "views" / v.name, say) for v in recipe.views}
    config = FrontEndConfig()
    net, losses = _staged(recipe, stores, inputs, work, say)
    temperature = _calibrated(net, _calibration_sets(recipe, files), recipe.labels)
    say(f"temperature {temperature:.3f}")
    last = stores[recipe.stages[-1].views]
    record: dict[str, Any] = {
        "kind": "classifier", "name": out.name, "summary": recipe.summary,
        "net": {"type": "cnn", **asdict(recipe.net), "widths": list(recipe.net.widths)},
        "labels": list(recipe.labels), "front_end": config.to_dict(), "temperature": temperature,
        "unsure_below": recipe.unsure_below, **_tag_evidence(recipe),
        "provenance": {
            "melodygen": version("melodygen"), "recipe_name": recipe.name,
            "stages": [asdict(stage) for stage in recipe.stages], "losses": losses,
            "views": {name: len(store.entries) for name, store in stores.items()},
            "collections": sorted({e.collection for e in last.entries}),
            "soundfonts": sorted({e.font for s in stores.values() for e in s.entries}),
        },
    }  # fmt: skip
    save_checkpoint(out, net, record, _card(recipe, record, out))
    figures = fit_music_head(out, last, recipe.music_head, inputs.speech, inputs.recordings)
    say(f"music head: {figures}")
    kept = [f for f in files if f.split == "valid" and f.kind == "piece"]
    keep_exemplars(out, kept, load_renderer(), recipe.exemplar_windows)
    return read_config(out, "classifier")


def _tag_evidence(recipe: ClassifierModelRecipe) -> dict[str, Any]:
    """The entry of the config, for the labels of the recipe; none where the recipe has none."""
    held = recipe.tag_evidence
    if held is None:
        return {}
    return {
        "tag_evidence": asdict(
            replace(held, labels={k: v for k, v in held.labels.items() if k in recipe.labels})
        )
    }


def _view_source(
    recipe: ClassifierModelRecipe, files: Sequence[SourceFile], split: str, renderers: Sequence[Renderer],
    maker: type[ViewMaker] = ViewMaker, arguments: tuple[Any, ...] = (),
) -> ViewSource:  # fmt: skip
    groups = group_files(files, split, recipe.labels)
    return ViewSource(groups, recipe.labels, maker(read_takes(files, split), *arguments), renderers)


def _store(
    views: ViewsRecipe, recipe: ClassifierModelRecipe, inputs: ClassifierInputs, files: Sequence[SourceFile],
    folder: Path, say: Say,
) -> Store:  # fmt: skip
    """The store of rendered views, rendered where it is not there yet."""
    config = FrontEndConfig()
    if not (folder / "done").is_file():
        fonts: list[Renderer] = [SamplerRenderer(font) for font in inputs.fonts] or [load_renderer()]
        renderers = [*fonts, AdditiveRenderer()]
        grooves = views.grooves and inputs.mma is not None
        mma = (inputs.mma, inputs.mma_library, views.groove_share)
        maker, arguments = (MmaViewMaker, mma) if grooves else (ViewMaker, ())
        source = _view_source(recipe, files, "train", renderers, maker, arguments)

        def each(done: int) -> None:
            if done % 100 == 0:
                say(f"views {views.name}: {done} of {views.count}")

        made = render_store(folder, source, views.count, views.seed, not views.grooves, views.versions, each)
        (folder / "done").write_text(f"{made}\n", encoding="ascii")
    return open_store(folder, config.num_bands, frames_in(TRAINING.seconds, config))


def new_net(shape: CnnRecipe, labels: int, seed: int) -> StyleCnn:
    """An untrained net; equal for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bands = FrontEndConfig().num_bands
        return StyleCnn(labels, bands, list(shape.widths), shape.hidden, shape.dropout, shape.context)


def _staged(
    recipe: ClassifierModelRecipe, stores: dict[str, Store], inputs: ClassifierInputs, work: Path, say: Say
) -> tuple[nn.Module, dict[str, float]]:
    """The net of the last stage, and the loss at the end of each stage that was trained."""
    nets: dict[str, nn.Module] = {}
    losses: dict[str, float] = {}
    voices = None if inputs.speech is None else speech_over_music(inputs.speech, FrontEndConfig())
    for stage in recipe.stages:
        store, path = stores[stage.views], work / f"stage-{stage.name}.pt"
        store = replace(store, entries=store.entries[: stage.first_views])
        net: nn.Module = new_net(recipe.net, len(recipe.labels), stage.training.seed)
        if path.is_file():
            saved = torch.load(path, weights_only=True)
            net.load_state_dict(saved["net"])
            losses |= saved["loss"]
        elif stage.blend:
            one, two = (nets[name] for name in stage.blend)
            net = blended(net, one, two, stage.share, _mixer(recipe, store, None))
        else:
            if stage.start:
                net.load_state_dict(nets[stage.start].state_dict())
            mixer = _mixer(recipe, store, voices if stage.voices else None)
            net, losses[stage.name] = _train_stage(net, mixer, stage, say)
        torch.save(
            {"net": net.state_dict(), "loss": {k: v for k, v in losses.items() if k == stage.name}}, path
        )
        nets[stage.name] = net
    return nets[recipe.stages[-1].name], losses


def _mixer(recipe: ClassifierModelRecipe, store: Store, voices: Any) -> Mixer:
    return Mixer(store, recipe.labels, FrontEndConfig(), store.entries, voices=voices)


def _train_stage(net: nn.Module, mixer: Mixer, stage: StageRecipe, say: Say) -> tuple[nn.Module, float]:
    """The averaged net, and the mean loss of its last hundred steps."""
    losses: list[float] = []

    def each(state: ClassifierTrainingState, averaged: nn.Module) -> None:
        losses.append(state.loss)
        if state.step % 50 == 0 or state.step == stage.training.steps:
            mean = float(np.mean(losses[-50:]))
            say(f"stage {stage.name}: step {state.step} of {stage.training.steps}, loss {mean:.3f}")

    trained = train(net, mixer, stage.training, each)
    return trained, round(float(np.mean(losses[-100:])), 4)


def blended(net: nn.Module, one: nn.Module, two: nn.Module, share: float, mixer: Mixer) -> nn.Module:
    """``net`` with weights between two nets of one line of training; what its batch norms expect is measured again."""
    first = one.state_dict()
    net.load_state_dict({
        k: torch.lerp(first[k], v, share) if v.is_floating_point() else v for k, v in two.state_dict().items()
    })  # fmt: skip
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    rng = np.random.default_rng(NORM_SEED)
    with torch.no_grad():
        net.train()
        for _ in range(NORM_BATCHES):
            net(torch.from_numpy(mixer.draw(rng, NORM_ROWS, NORM_DISTORT)[0]))
    return net.eval()


def _calibration_sets(recipe: ClassifierModelRecipe, files: Sequence[SourceFile]) -> list[WindowSet]:
    """Validation pieces as they are written, and arranged as the product would, on the shipped soundfont; where the net
    learned that the instruments do not matter, also as written on other instruments."""
    source = _view_source(recipe, files, "valid", [load_renderer()])
    versioned = any(stage.training.consistency for stage in recipe.stages)
    kinds = (AS_IS, PLAIN, REORCHESTRATED) if versioned else (AS_IS, PLAIN)
    return [validation_windows(source, how, recipe.calibration_pieces) for how in kinds]


def in_calibration_half(names: Sequence[str]) -> np.ndarray:
    """Which pieces the temperature is fitted on (N,); figures for calibration come from the others."""
    return np.array([sum(Path(n).stem.encode()) % 2 == 0 for n in names])


def _calibrated(net: nn.Module, sets: Sequence[WindowSet], labels: Sequence[str]) -> float:
    """The temperature for the net as it will be stored, in float16; all pieces where a half would be too few."""
    net.half().float()
    means, targets = [], []
    for found in sets:
        half = in_calibration_half(found.name)
        half = half if half.any() else ~half
        means.append(mean_by_group(logits_of(net, found.windows), found.item)[half])
        targets.append(np.array([labels.index(name) for name in found.label])[half])
    return fit_temperature(np.concatenate(means).astype(np.float32), np.concatenate(targets))


def _card(recipe: ClassifierModelRecipe, record: dict[str, Any], out: Path) -> str:
    """The model card. A card that is there already, with figures measured later, is kept."""
    if (out / CARD).is_file():
        return (out / CARD).read_text(encoding="utf-8")
    provenance = record["provenance"]
    views = ", ".join(f"{count:,} ({name})" for name, count in provenance["views"].items())
    return f"""# {record["name"]}

{recipe.summary}. Built by `melodygen recipe run {recipe.name} --corpus DIR --out DIR`.

Labels: {", ".join(recipe.labels)}. Rendered views: {views}, with {", ".join(provenance["soundfonts"])}.
Stages: {", ".join(stage.name for stage in recipe.stages)}. Temperature {record["temperature"]:.3f}, fitted on half
of the validation titles. The terms of the corpus hold for what is made from it.
"""
