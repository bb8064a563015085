"""The tagger of recordings: musicnn's tags, and the style, the mood and the embedding that come of them.

Two nets hear a recording, one that learned the tags of listeners (Million Song Dataset, "msd"), one those of players of
a game (MagnaTagATune, "mtt"; instruments, voices and classical music). Silence is cut out, the loudness is brought to a
reference, then windows of three seconds are heard, evenly spread: one for every five seconds, at least three and at
most ``NUM_WINDOWS``; the second net hears every other one. Windows count by their level. Music shorter than three
seconds is heard as it is, never repeated. Styles are those of the taxonomy, or those that a user taught a head
(``classification.style_head``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from melodygen.audio.buffer import Audio
from melodygen.audio.excerpts import levelled, spread_starts, without_silence
from melodygen.audio.features import Features, to_mono_at
from melodygen.audio.musicnn_mel import N_FFT, SAMPLE_RATE, WINDOW_SAMPLES, log_mel
from melodygen.classification.event_evidence import EventEvidence, read_event_evidence
from melodygen.classification.music_head import read_music_head
from melodygen.classification.style_head import HEAD_NET, StyleHead, read_style_head
from melodygen.classification.taxonomy import (
    PART_OF,
    STYLE_TAGS,
    TEMPERATURE,
    UNSURE_BELOW,
    Mood,
    mood_of,
    style_logits,
    style_probabilities,
)
from melodygen.errors import AudioError, CheckpointError
from melodygen.nets.checkpoint import load_weights, net_type, read_config, resolve, weights_sha256
from melodygen.nets.musicnn import EMBEDDING, Musicnn
from melodygen.styles.scores import StyleScores

Floats = NDArray[np.float64]

DEFAULT_TAGGER = "musicnn"
DATASETS = ("msd", "mtt")
PLAYERS_TAGS = (
    "strings", "violin", "cello", "piano", "harpsichord", "harp", "flute", "sitar", "drums", "synth", "solo",
    "classical", "opera", "choir", "choral", "indian", "no vocals", "female vocal", "male vocal",
)  # fmt: skip
"""Tags of the second net that are shown: instruments, voices and music that the first has no tags for. Its tags of
style and tempo are given too freely (techno to jazz of a narrow band)."""
MIN_WINDOWS, NUM_WINDOWS = 3, 10
WINDOW_EVERY_SECONDS = 5.0
BATCH = 4
MIN_SAMPLES = 4 * N_FFT
MEAN_FLUX, FLUX_DEVIATION = 0.12, 0.04
"""Of log-mel from frame to frame, over renders of MIDI files from many hands."""


@dataclass(frozen=True, eq=False)
class Tags:
    """What is heard in a recording.

    ``probabilities``  of the first net's 50 tags and of ``PLAYERS_TAGS``, likeliest first.
    ``styles``         over the taxonomy (``classification.taxonomy`` says on which tags each rests), or those that
                       the tagger's style head knows.
    ``embedding``      (200,) float32, what the first net makes of the sound before it names tags.
    """

    probabilities: dict[str, float]
    styles: StyleScores
    mood: Mood
    music: float | None
    embedding: Features


@dataclass(frozen=True, eq=False)
class WindowOutputs:
    """Of W windows heard: ``weights`` (W,) sum to 1; ``listeners`` (W, 50) and ``players`` (V, 50) logits of tags, V
    those windows that the second net heard; ``embeddings`` (W, 200), ``player_embeddings`` (V, 200); ``flux`` (W,);
    ``events``: what the event detector adds to the music head's log odds, None where it was not asked."""

    weights: Floats
    listeners: Floats
    players: Floats
    embeddings: Features
    player_embeddings: Features
    flux: Floats
    events: float | None = None


class Tagger:
    """See :class:`melodygen.contracts.StyleClassifier`; beside styles it gives tags, mood and an embedding."""

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        nets: torch.nn.ModuleDict,
        tags: dict[str, tuple[str, ...]],
        classifier_id: str,
        music_head: tuple[Floats, float] | None = None,
        events: EventEvidence | None = None,
        style_head: StyleHead | None = None,
    ) -> None:
        """``classifier_id`` is that of the nets, ``nets_id``; with a style head the tagger goes by that one's."""
        self._nets = {name: net.prepare() for name, net in nets.items() if isinstance(net, Musicnn)}
        self.tags = tags
        self.style_head = style_head
        self.labels = tuple(STYLE_TAGS) if style_head is None else style_head.labels
        self.part_of = PART_OF if style_head is None else {}
        self.unsure_below = UNSURE_BELOW if style_head is None else style_head.unsure_below
        self.nets_id = classifier_id
        self.classifier_id = classifier_id if style_head is None else style_head.classifier_id
        self.music_head, self.events = music_head, events

    @classmethod
    def from_folder(cls, folder: Path) -> Tagger:
        """Of a head that was taught styles: the tagger that it rests on, with the head. Raises CheckpointError for a
        folder that is neither, or is not whole, and for a head that rests on other weights."""
        folder, style_head = Path(folder), None
        config = read_config(folder, "classifier")
        if net_type(config) == HEAD_NET:
            folder, style_head = read_style_head(folder, config)
            config = read_config(folder, "classifier")
        tags = _tags(folder, config)
        nets = tagger_nets()
        load_weights(folder, nets)
        name = f"{config.get('name', folder.name)}-{weights_sha256(folder)[:8]}"
        head = read_music_head(folder, config, len(DATASETS) * EMBEDDING)
        return cls(nets, tags, name, head, read_event_evidence(folder, config), style_head)

    def classify(self, recordings: Sequence[Audio]) -> list[StyleScores]:
        """One StyleScores a recording. Raises AudioError for one without samples."""
        return [self.tag(to_mono_at(audio, SAMPLE_RATE)).styles for audio in recordings]

    def tag(self, mono: Features) -> Tags:
        """Of mono sound at 16 kHz. Raises AudioError where nothing sounds."""
        return self.tag_windows(self.windows(mono))

    def windows(self, mono: Features, count: int = 0) -> list[Features]:
        """What is heard of mono sound at 16 kHz: at most ``count`` windows, 0 for as many as its length asks for.
        Raises AudioError where nothing sounds."""
        heard = levelled(without_silence(mono, SAMPLE_RATE))
        if not len(heard):
            raise AudioError("nothing sounds in it")
        if len(heard) < WINDOW_SAMPLES:
            return [np.pad(heard, (0, max(0, MIN_SAMPLES - len(heard))))]
        count = count or min(
            NUM_WINDOWS, max(MIN_WINDOWS, int(len(heard) / (WINDOW_EVERY_SECONDS * SAMPLE_RATE)))
        )
        return [heard[s : s + WINDOW_SAMPLES] for s in spread_starts(len(heard), WINDOW_SAMPLES, count)]

    def tag_windows(self, windows: Sequence[Features], mode: str | None = None) -> Tags:
        """Of windows at the reference loudness, all of one length. ``mode`` (major, minor) moves the mood if known."""
        return self.summary(self.outputs(windows), mode)

    def outputs(self, windows: Sequence[Features]) -> WindowOutputs:
        """What the nets say of windows of one length."""
        mel = log_mel(np.stack(windows))
        level = np.array([float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))) for w in windows]) + 1e-9
        embeddings, listeners = self._run("msd", mel)
        player_embeddings, players = self._run("mtt", mel[len(mel) % 2 == 0 and len(mel) > 1 :: 2])
        flux = np.maximum(np.diff(mel, axis=1), 0).mean(axis=(1, 2), dtype=np.float64)
        heard = WindowOutputs(level / level.sum(), listeners, players, embeddings, player_embeddings, flux)
        logit = self._music_logit(heard)
        if logit is None or self.events is None or not self.events.matters(logit):
            return heard  # most recordings: the detector could change nothing
        return replace(heard, events=self.events.evidence(windows))

    def tag_table(self, windows: Sequence[Features]) -> dict[str, Floats]:
        """Probability of each tag that is shown in each window, (W,) a tag; windows are of one length."""
        mel = log_mel(np.stack(windows))
        listeners, players = _sigmoid(self._run("msd", mel)[1]), _sigmoid(self._run("mtt", mel)[1])
        table = dict(zip(self.tags["mtt"], players.T, strict=True))
        shown = {tag: table[tag] for tag in PLAYERS_TAGS}
        return {**shown, **dict(zip(self.tags["msd"], listeners.T, strict=True))}

    def both_embeddings(self, heard: WindowOutputs) -> Floats:
        """(400,): the embeddings of both nets of windows taken together; what the heads of music and of styles read."""
        first = np.asarray(heard.weights @ heard.embeddings, dtype=np.float32)
        return np.concatenate((first, heard.player_embeddings.mean(axis=0))).astype(np.float64)

    def embed(self, windows: Sequence[Features]) -> Features:
        """(W, 400): the embeddings of both nets, of windows of one length; what the music head reads."""
        mel = log_mel(np.stack(windows))
        return np.concatenate([self._run(name, mel)[0] for name in DATASETS], axis=1)

    def summary(self, heard: WindowOutputs, mode: str | None = None) -> Tags:
        """Windows taken together, each by its weight."""
        listeners = _named(self.tags["msd"], heard.weights @ _sigmoid(heard.listeners))
        players = _named(self.tags["mtt"], _sigmoid(heard.players).mean(axis=0))
        embedding = np.asarray(heard.weights @ heard.embeddings, dtype=np.float32)
        liveliness = (float(heard.weights @ heard.flux) - MEAN_FLUX) / FLUX_DEVIATION
        both = {**{tag: players[tag] for tag in PLAYERS_TAGS}, **listeners}
        return Tags(
            dict(sorted(both.items(), key=lambda item: (-item[1], item[0]))),
            self._styles(heard, listeners, players),
            mood_of(listeners, players, float(np.clip(liveliness, -2, 2)), mode),
            self._music(heard),
            embedding,
        )

    def _styles(
        self, heard: WindowOutputs, listeners: dict[str, float], players: dict[str, float]
    ) -> StyleScores:
        """What the style head says; without one what the tags say."""
        if self.style_head is not None:
            return self.style_head.scores(self.both_embeddings(heard))
        logits = style_logits(listeners, players)
        scores = style_probabilities(np.array([logits[label] for label in self.labels]), TEMPERATURE)
        return StyleScores(self.labels, scores, self.classifier_id, self.part_of)

    def _run(self, name: str, mel: Features) -> tuple[Features, Floats]:
        """Embeddings (W, 200) and logits (W, tags) of log-mel (W, T, F)."""
        embeddings, logits = [], []
        with torch.inference_mode():
            for start in range(0, len(mel), BATCH):
                inner, said = self._nets[name](torch.from_numpy(mel[start : start + BATCH]))
                embeddings.append(inner.numpy())
                logits.append(said.numpy().astype(np.float64))
        return np.concatenate(embeddings), np.concatenate(logits)

    def _music_logit(self, heard: WindowOutputs) -> float | None:
        """What the music head says, from the embeddings of both nets; None without a head."""
        if self.music_head is None:
            return None
        weights, bias = self.music_head
        return float(self.both_embeddings(heard) @ weights + bias)

    def _music(self, heard: WindowOutputs) -> float | None:
        """Probability of music: the head's, and the event detector's where it was asked."""
        logit = self._music_logit(heard)
        if logit is None:
            return None
        if self.events is not None:
            logit = self.events.added(logit, heard.events or 0.0)
        return float(_sigmoid(np.asarray(logit)))


def tagger_nets() -> torch.nn.ModuleDict:
    """The two nets, untrained."""
    return torch.nn.ModuleDict({name: Musicnn() for name in DATASETS})


def is_tagger(config: dict[str, Any]) -> bool:
    """Whether a checkpoint with this config is loaded as a Tagger: one itself, or a style head on one."""
    return net_type(config) in (DEFAULT_TAGGER, HEAD_NET)


def load_tagger(spec: str = "") -> Tagger:
    """A tagger by the name or the folder of a checkpoint; empty for the shipped one."""
    return Tagger.from_folder(resolve(spec, DEFAULT_TAGGER))


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))


def _named(tags: Sequence[str], values: Floats) -> dict[str, float]:
    return {tag: float(value) for tag, value in zip(tags, values, strict=True)}


def _tags(folder: Path, config: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    held = config.get("tags")
    whole = isinstance(held, dict) and all(len(set(held.get(name, ()))) == 50 for name in DATASETS)
    if not whole or net_type(config) != DEFAULT_TAGGER:
        raise CheckpointError(
            f"checkpoint {folder}: config.json must hold a musicnn net and 50 tags of each data set"
        )
    assert isinstance(held, dict)
    return {name: tuple(str(tag) for tag in held[name]) for name in DATASETS}


__all__ = [
    "NUM_WINDOWS",
    "Tagger",
    "Tags",
    "WindowOutputs",
    "is_tagger",
    "load_tagger",
    "tagger_nets",
]
