"""Training the style CNN alone, on folders of audio or music files named by label.

Recordings are heard in stretches, music files as renders of stretches as they are written. The net begins as the known
classifier, with a row for each label in its last layer, or fresh.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from melodygen.audio.features import FrontEndConfig, mel_power, to_mono_at
from melodygen.audio.files import read_audio
from melodygen.classification.cnn import CnnClassifier
from melodygen.contracts import Renderer
from melodygen.data.scan import SourceFile, load_piece
from melodygen.data.stems import Source, read_source
from melodygen.data.views import TRAINING, View
from melodygen.errors import AudioError, CorpusError, MelodygenError
from melodygen.io.folder import music_files
from melodygen.io.formats import AUDIO_SUFFIXES, MIDI_SUFFIXES
from melodygen.io.midi import read_midi, write_midi
from melodygen.music.score import Score, Tempo, Track, note_array
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.cnn import Residual, StyleCnn
from melodygen.registry import list_styles
from melodygen.rendering.default import load_renderer
from melodygen.rendering.draft import render_draft
from melodygen.training.classifier.trainer import (
    ClassifierRecipe,
    ClassifierTrainingState,
    Mixer,
    fit_temperature,
    logits_of,
    plain_mix,
    train,
)
from melodygen.training.classifier.view_store import (
    Entry,
    Store,
    StoreWriter,
    frames_in,
    levels_of,
    open_store,
    render_stems,
)
from melodygen.training.generator.fine_tuning import Watcher


def as_midi(file: SourceFile, folder: Path) -> SourceFile | None:
    """The same piece in a format that views read, or None where that does not work."""
    if file.path.suffix.lower() in MIDI_SUFFIXES:
        return file
    try:
        score = load_piece(file)[0]
        folder.mkdir(parents=True, exist_ok=True)
        path = (
            folder / f"{hashlib.sha256(file.name.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}.mid"
        )
        write_midi(path, score, overwrite=True)
    except MelodygenError:
        return None
    return replace(file, path=path, number=None)


def most_similar_style(
    classifier: CnnClassifier, renderer: Renderer, files: Sequence[SourceFile], work: Path
) -> str:
    """The known style that a few of the files sound most like: in its manner views complete and instrument them."""
    total = np.zeros(len(classifier.labels))
    for file in files[:: max(1, len(files) // 6)][:6]:
        playable = as_midi(file, work / "notation-midi")
        if playable is None:
            continue
        try:
            total += classifier.classify([render_draft(read_midi(playable.path), renderer)])[0].probabilities
        except MelodygenError:
            continue
    styles = list_styles()
    known = [i for i, label in enumerate(classifier.labels) if label in styles] or range(
        len(classifier.labels)
    )
    return classifier.labels[max(known, key=lambda i: total[i])]


def native_view(source: Source, rng: np.random.Generator, seconds: float) -> View | None:
    """A stretch of the piece as it is: own voices, own instruments."""
    length = seconds * source.qpm / 60.0
    starts = [b.start for b in source.bars]
    end = source.bars[-1].start + source.bars[-1].quarters
    possible = [s for s in starts if s + 0.7 * length <= end] or starts[:1]
    start = possible[int(rng.integers(len(possible)))]
    tracks, stems = [], []
    for voice in source.voices:
        inside = (voice.rows[:, 0] >= start - 1e-6) & (voice.rows[:, 0] < start + length)
        notes = [
            (
                round((on - start) * 480),
                max(1, round(duration * 480)),
                int(pitch),
                int(np.clip(velocity, 20, 127)),
            )
            for on, duration, pitch, velocity in voice.rows[inside].tolist()
        ]
        if notes:
            notes = [(max(0, on), duration, pitch, velocity) for on, duration, pitch, velocity in notes]
            tracks.append(Track(note_array(notes), voice.program, voice.stem == "drums", "other", voice.stem))
            stems.append(voice.stem)
    if not set(stems) - {"drums"}:
        return None
    return View(Score(tuple(tracks), (Tempo(0, source.qpm),), ticks_per_quarter=480), tuple(stems))


def widened(folder: Path, classifier: CnnClassifier, labels: Sequence[str]) -> StyleCnn:
    """The known net with an output for each of ``labels``: rows of known ones kept, new ones their mean."""
    spec = {k: v for k, v in checkpoints.read_config(folder, "classifier")["net"].items() if k != "type"}
    old = StyleCnn(len(classifier.labels), classifier.front_end.num_bands, **spec)
    checkpoints.load_weights(folder, old)
    net = StyleCnn(len(labels), classifier.front_end.num_bands, **spec)
    state = {k: v for k, v in old.state_dict().items() if not k.startswith("head.")}
    for name in ("head.weight", "head.bias"):
        rows = old.state_dict()[name]
        kept = {label: rows[i] for i, label in enumerate(classifier.labels)}
        state[name] = torch.stack([kept.get(label, rows.mean(dim=0)) for label in labels])
    net.load_state_dict(state)
    return net


def fit(
    net: nn.Module,
    store: Store,
    labels: Sequence[str],
    recipe: ClassifierRecipe,
    config: FrontEndConfig,
    watcher: Watcher,
) -> nn.Module:
    """Train a net on rendered or recorded views; the averaged net."""

    def each(progress: ClassifierTrainingState, average: nn.Module) -> None:
        left = progress.seconds / progress.step * (recipe.steps - progress.step)
        watcher.step(progress.step, recipe.steps, progress.loss, 0.0, left)

    net = train(net, Mixer(store, labels, config, store.entries), recipe, each)
    net.half().float()  # as it will be stored
    return net


def evaluated(
    net: nn.Module, store: Store, labels: Sequence[str], config: FrontEndConfig
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config of the checkpoint, figures on the views that were kept back)."""
    logits = logits_of(net, np.stack([plain_mix(store, e, config) for e in store.entries]))
    targets = np.array([labels.index(e.style) for e in store.entries], dtype=np.int64)
    right = logits.argmax(axis=1) == targets
    accuracy = round(float(right.mean()), 4)
    figures: dict[str, Any] = {
        "views": len(targets), "accuracy": accuracy,
        "recall": {n: round(float(right[targets == i].mean()), 4) for i, n in enumerate(labels) if i in targets},
        "told": f"right on {accuracy:.0%} of {len(targets)} stretches of files it did not learn from",
    }  # fmt: skip
    assert isinstance(net, StyleCnn)
    record = {
        "kind": "classifier", "net": {"type": "cnn", **spec_of(net)}, "labels": list(labels),
        "front_end": config.to_dict(), "temperature": fit_temperature(logits, targets),
        "provenance": {"melodygen": version("melodygen"), "figures": figures},
    }  # fmt: skip
    return record, figures


def spec_of(net: StyleCnn) -> dict[str, Any]:
    """What makes a net of the same shape."""
    blocks = [b for b in net.blocks if isinstance(b, Residual)]
    return {
        "widths": [net.entry.out_channels, *(b.first.out_channels for b in blocks)],
        "hidden": net.temporal.out_channels, "dropout": float(net.dropout.p), "context": len(net.context),
        "detail": net.detail,
    }  # fmt: skip


def train_classifier(
    folder: Path, out: Path, source: str, steps: int, seed: int, watcher: Watcher, work: Path
) -> dict[str, Any]:
    """A CNN on folders of audio or music files named by label; written to ``out``. ``source``: the classifier whose
    ears it begins with, or ``none``. Raises CorpusError where there is too little."""
    if not folder.is_dir():
        raise CorpusError(f"{folder} is not a folder")
    labels = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    config = FrontEndConfig()
    classifier = None
    if source != "none":
        known = checkpoints.resolve(source, checkpoints.DEFAULT_CLASSIFIER)
        classifier = CnnClassifier.from_folder(known)
        config = classifier.front_end
    rejected = _collect(folder, labels, config, seed, work, watcher)
    frames = frames_in(TRAINING.seconds, config)
    opened = {part: open_store(work / part, config.n_mels, frames) for part in ("train", "valid")}
    if classifier is not None:
        net = widened(known, classifier, labels)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = StyleCnn(len(labels), config.num_bands)
    recipe = ClassifierRecipe(
        steps=steps,
        rows=48,
        learning_rate=1e-3 if classifier is not None else 2.5e-3,
        average=0.99,
        seed=seed,
    )
    trained = fit(net, opened["train"], labels, recipe, config, watcher)
    record, figures = evaluated(trained, opened["valid"], labels, config)
    record |= {"name": out.resolve().name, "summary": f"Hears {', '.join(labels)}"}
    record["provenance"]["recipe"] = asdict(recipe)
    figures |= {"labels": labels, "rejected": rejected, "files": sum(1 for _ in opened["train"].entries)}
    checkpoints.save_checkpoint(out, trained, record, card(record, figures))
    return figures


def _collect(
    folder: Path, labels: Sequence[str], config: FrontEndConfig, seed: int, work: Path, watcher: Watcher
) -> list[dict[str, str]]:
    """Put the music of each label into the stores ``work/train`` and ``work/valid``; the files that cannot be used.

    Raises CorpusError where a label has fewer than two usable files, or there are fewer than two labels.
    """
    used: dict[str, set[str]] = {label: set() for label in labels}
    rejected: list[dict[str, str]] = []
    stores = {part: StoreWriter(work / part) for part in ("train", "valid")}
    renderer = load_renderer()
    for at, label in enumerate(labels):
        found = sorted(music_files(folder / label, recursive=True))
        good = 0
        for number, path in enumerate(found):
            watcher.stage(f"hearing {label}"[:40], (at + number / len(found)) / len(labels))
            part = "valid" if good % 5 == 1 else "train"  # of the usable ones: broken files must not decide
            name = str(path.relative_to(folder))
            file = SourceFile(path, name, label, split=part, title=path.stem)
            rng = np.random.default_rng([seed, at, number])
            try:
                if add_windows(file, stores[part], renderer, config, work, rng):
                    used[label].add(part)
                    good += 1
                else:
                    rejected.append({"file": name, "reason": "nothing to hear in it"})
            except MelodygenError as error:
                rejected.append({"file": name, "reason": str(error)})
    short = [label for label in labels if used[label] != {"train", "valid"}]
    if len(labels) < 2 or short:
        reasons = "; ".join(f"{r['file']}: {r['reason']}" for r in rejected[:4])
        verb = "has" if len(short) == 1 else "have"
        what = f"{', '.join(short)} {verb} fewer than 2 usable files" if short else ""
        few = f"{len(labels)} folders named by label (at least 2 are needed)" if len(labels) < 2 else ""
        raise CorpusError(f"{folder}: " + "; ".join(x for x in (few, what, reasons) if x))
    return rejected


def add_windows(
    file: SourceFile,
    store: StoreWriter,
    renderer: Renderer,
    config: FrontEndConfig,
    work: Path,
    rng: np.random.Generator,
) -> bool:
    """Stretches of a recording, or views of a piece, into the store; whether there was any."""
    made = False
    if file.path.suffix.lower() in AUDIO_SUFFIXES:
        mono = to_mono_at(read_audio(file.path), config.sample_rate)
        size = round(TRAINING.seconds * config.sample_rate)
        if float(np.abs(mono).max()) < 1e-4:
            raise AudioError("silence")
        for start in list(range(0, max(1, len(mono) - size + 1), size))[:12]:
            power = mel_power(np.resize(mono[start : start + size], size), config)
            level = power.sum(axis=0).mean()
            if level > 1e-9:
                stems = {"melody": levels_of(power * np.float32(1000.0 / level))}
                store.add(stems, Entry(file.style, file.style, file.name, file.title, "", 0, ("melody",)))
                made = True
        return made
    playable = as_midi(file, work / "notation-midi")
    source = read_source(playable) if playable is not None else None
    for _ in range(4 if source is not None else 0):
        view = native_view(source, rng, TRAINING.seconds) if source is not None else None
        stems = render_stems(view, renderer, rng, config, TRAINING.seconds) if view is not None else {}
        if set(stems) - {"drums"}:
            store.add(
                stems,
                Entry(file.style, file.style, file.name, file.title, renderer.renderer_id, 0, tuple(stems)),
            )
            made = True
    return made


def card(record: dict[str, Any], figures: dict[str, Any]) -> str:
    """The model card."""
    rows = "".join(f"| {label} | {recall:.0%} |\n" for label, recall in figures["recall"].items())
    return f"""# {record["name"]}

{record["summary"]}. Written by melodygen {version("melodygen")}; this card is the program's, from what it measured.

Measured: {figures["told"]}.

| label | recall |
|---|---|
{rows}
Temperature {record["temperature"]:.3f}, fitted on the same music, so its probabilities are a little too sure of
themselves. Where music files were heard, that was in renders, not in recordings.

```json
{json.dumps(record["provenance"], indent=1)}
```
"""
