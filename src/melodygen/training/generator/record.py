"""What was decided when a run began: ``run.json`` in its work folder.

From the record and the shards every process, and every resumed run, prepares the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from melodygen.atomic import atomic_path
from melodygen.errors import CheckpointError
from melodygen.generation.neural import style_from_json, style_to_json
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.config import TrainingConfig

RUN_VERSION = 4
RECORD_FILE = "run.json"


@dataclass(frozen=True)
class BaseModel:
    """The checkpoint a run begins from.

    Attributes:
        path, model_id, sha256: which it is.
        vocabulary_id: of its tokens.
        density_quantiles, logit_bias, sampling: tables of its config, by style.
        nearest: for each new style the known one whose music it is most like.
    """

    path: str
    model_id: str
    sha256: str
    vocabulary_id: str
    density_quantiles: Mapping[str, Any] = field(default_factory=dict)
    logit_bias: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    nearest: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """Everything that decides a run.

    Attributes:
        config: what was asked for.
        folder: name of the folder of music.
        data_id: changes when a file of the folder does.
        processes: how many learn together.
        base: the model it begins from; None: from nothing.
        net: arguments of the net, with its ``type``.
        styles: all styles, in slot order.
        new: names of the styles of the folder.
        steps, dropout, optimizer, learning_rate, accumulate, bf16: how it learns.
        train_tokens: tokens to learn from.
        summary: of the census of the folder.
        replay_seconds: how long writing replay took.
        vocabulary_id: of the tokens in the shards.
        melodygen: the version that began the run.
    """

    config: TrainingConfig
    folder: str
    data_id: str
    processes: int
    base: BaseModel | None
    net: Mapping[str, Any]
    styles: tuple[Style, ...]
    new: tuple[str, ...]
    steps: int
    dropout: float
    optimizer: str
    learning_rate: float
    accumulate: int
    bf16: bool
    train_tokens: int
    summary: Mapping[str, Any]
    replay_seconds: float
    vocabulary_id: str = VOCABULARY.vocabulary_id
    melodygen: str = field(default_factory=lambda: version("melodygen"))

    def to_json(self) -> dict[str, Any]:
        """The record as JSON holds it."""
        plain = {**vars(self), "net": dict(self.net), "summary": dict(self.summary)}
        return {
            "run_version": RUN_VERSION, **plain, "config": asdict(self.config),
            "base": None if self.base is None else asdict(self.base),
            "styles": [style_to_json(style) for style in self.styles], "new": list(self.new),
        }  # fmt: skip

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> RunRecord:
        """The record that :meth:`to_json` gave. Raises CheckpointError for one of another version."""
        values = dict(record)
        if (
            values.pop("run_version", None) != RUN_VERSION
            or values["vocabulary_id"] != VOCABULARY.vocabulary_id
        ):
            raise CheckpointError(
                f"the run was begun by melodygen {values.get('melodygen')} (vocabulary {values.get('vocabulary_id')}) "
                "and cannot be resumed by this one; start again with --force"
            )
        values["config"] = TrainingConfig(**values["config"])
        values["base"] = None if values["base"] is None else BaseModel(**values["base"])
        values["styles"] = tuple(style_from_json(style) for style in values["styles"])
        values["new"] = tuple(values["new"])
        return cls(**values)

    def write(self, work: Path) -> None:
        """Write ``run.json`` into the work folder."""
        with atomic_path(work / RECORD_FILE, overwrite=True) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, work: Path) -> RunRecord:
        """Read ``run.json`` of a work folder."""
        return cls.from_json(json.loads((work / RECORD_FILE).read_text(encoding="utf-8")))
