"""Plain methods on the same windows and folds as the CNN: how much of its figure is owed to the CNN.

Logistic regression, decision tree, random forest and SVM see mean and deviation of the log-mel bands over a track; the
second SVM those of 20 MFCC; the LSTM (torch) sees the frames. ``embedding`` is a logistic regression on what the
CNN makes of the track. scikit-learn is imported late: it comes with the extra ``eval``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import nn
from torch.nn import functional

from melodygen.audio.features import Features
from melodygen.errors import MelodygenError
from melodygen.evaluation.labelled import ClassifiedItem

LSTM_STEPS = 120
LSTM_STRIDE = 4
"""Frames that are averaged to one step of the LSTM: 160 ms."""
NAMES = (
    "logistic regression",
    "decision tree",
    "random forest",
    "SVM",
    "MFCC + SVM",
    "LSTM",
    "embedding + logistic",
)
TAGGER_NAME = "musicnn's embedding + SVM"
"""Where all tracks are recordings and have tags."""
Table = NDArray[np.float64]


class FrameLstm(nn.Module):
    """(B, T, F) -> (B, classes)."""

    def __init__(self, bands: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(bands, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, classes) of frames (B, T, F)."""
        logits: torch.Tensor = self.head(self.recurrent(x)[0].mean(dim=1))
        return logits


def has_sklearn() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def need_sklearn() -> None:
    """Raises MelodygenError that says how to get it."""
    if not has_sklearn():
        raise MelodygenError("scikit-learn is needed for this; get it with: pip install 'melodygen[eval]'")


def spectral_rows(heard: Sequence[ClassifiedItem]) -> Table:
    """(N, 2 F): mean and deviation of each log-mel band."""
    return np.stack(
        [np.concatenate((h.windows.mean(axis=(0, 2)), h.windows.std(axis=(0, 2)))) for h in heard]
    )


def mfcc_rows(heard: Sequence[ClassifiedItem]) -> Table:
    """(N, 40): mean and deviation of 20 MFCC."""
    rows = []
    for h in heard:
        mfcc = dct(h.windows, axis=1, norm="ortho")[:, :20]
        rows.append(np.concatenate((mfcc.mean(axis=(0, 2)), mfcc.std(axis=(0, 2)))))
    return np.stack(rows)


def embedding_rows(heard: Sequence[ClassifiedItem]) -> Table:
    """(N, E)"""
    return np.stack([h.embedded.mean(axis=0) for h in heard]).astype(np.float64)


def tagger_rows(heard: Sequence[ClassifiedItem]) -> Table:
    """(N, 200): of tracks that all have tags."""
    return np.stack([h.tags.embedding for h in heard if h.tags is not None]).astype(np.float64)


def names_for(heard: Sequence[ClassifiedItem]) -> tuple[str, ...]:
    """The baselines that these tracks allow."""
    return (*NAMES, TAGGER_NAME) if all(h.tags is not None for h in heard) else NAMES


def cross_validated(
    name: str,
    heard: Sequence[ClassifiedItem],
    targets: NDArray[np.int64],
    fold: NDArray[np.int64],
    num_labels: int,
    seed: int = 0,
) -> Table:
    """(N, C): probabilities of each track from a model that saw no track of its fold. ``name`` is one of
    ``names_for(heard)``."""
    need_sklearn()
    result = np.zeros((len(heard), num_labels))
    rows = None
    if name != "LSTM":
        makers = {"MFCC + SVM": mfcc_rows, "embedding + logistic": embedding_rows, TAGGER_NAME: tagger_rows}
        rows = makers.get(name, spectral_rows)(heard)
    for f in np.unique(fold):
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        if rows is None:
            result[outside] = _lstm(heard, targets, inside, outside, num_labels, seed)
            continue
        model = _model(name, seed)
        model.fit(rows[inside], targets[inside])
        if hasattr(model, "predict_proba"):
            result[np.ix_(outside, model.classes_)] = model.predict_proba(rows[outside])
        else:
            result[outside, model.predict(rows[outside])] = 1.0
    return result


def _model(name: str, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC
    from sklearn.tree import DecisionTreeClassifier

    made: dict[str, Callable[[], Any]] = {
        "logistic regression": lambda: LogisticRegression(C=0.03, max_iter=2000),
        "decision tree": lambda: DecisionTreeClassifier(min_samples_leaf=5, random_state=seed),
        "random forest": lambda: RandomForestClassifier(300, random_state=seed),
        "SVM": lambda: SVC(C=3.0),
        "MFCC + SVM": lambda: SVC(C=3.0),
        TAGGER_NAME: lambda: SVC(C=3.0, class_weight="balanced"),
        "embedding + logistic": lambda: LogisticRegression(C=0.003, max_iter=2000),
    }
    return make_pipeline(StandardScaler(), made[name]())


def _lstm(
    heard: Sequence[ClassifiedItem], targets: NDArray[np.int64], inside: NDArray[np.int64], outside: NDArray[np.int64],
    num_labels: int, seed: int,
) -> Table:  # fmt: skip
    def frames(windows: Features) -> Features:
        whole = windows.shape[2] // LSTM_STRIDE * LSTM_STRIDE
        steps = windows[:, :, :whole].reshape(*windows.shape[:2], -1, LSTM_STRIDE).mean(axis=3)
        return np.ascontiguousarray(steps.transpose(0, 2, 1), dtype=np.float32)

    data = [frames(heard[i].windows) for i in inside]
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FrameLstm(data[0].shape[2], num_labels)
        optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=LSTM_STEPS)
        for _ in range(LSTM_STEPS):
            drawn = rng.integers(0, len(inside), 32)
            batch = np.stack([data[i][int(rng.integers(len(data[i])))] for i in drawn])
            batch += rng.normal(0, 0.1, (32, 1, batch.shape[2])).astype(np.float32)  # an equaliser each
            loss = functional.cross_entropy(
                net(torch.from_numpy(batch)), torch.from_numpy(targets[inside[drawn]]), label_smoothing=0.1
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        with torch.inference_mode():
            logits = [net(torch.from_numpy(frames(heard[i].windows))).mean(dim=0) for i in outside]
    probabilities: Table = torch.softmax(torch.stack(logits), dim=1).numpy().astype(np.float64)
    return probabilities


__all__ = [
    "NAMES",
    "cross_validated",
    "embedding_rows",
    "has_sklearn",
    "mfcc_rows",
    "need_sklearn",
    "spectral_rows",
]
