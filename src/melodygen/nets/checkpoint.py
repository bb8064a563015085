"""Checkpoint folders: ``config.json``, ``model.safetensors`` and ``README.md`` (the model card).

No file is a pickle. ``config.json`` holds ``format_version``, ``kind`` (generator, classifier, beats or detector),
``name``, ``summary``, the ``net`` (type and flat arguments), what the ids or outputs mean, and ``provenance``. Loading
is strict: names and shapes must fit, and an unknown version or vocabulary is refused with its name.
docs/formats.md lists all fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melodygen.errors import CheckpointError
from melodygen.resources import models_dir
from melodygen.tokens.vocabulary import EARLIER_VOCABULARIES

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT_VERSION = 1
DEFAULT_GENERATOR = "melodygen-transformer"
DEFAULT_CLASSIFIER = "style-cnn"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
EMBEDDING = "embedding.weight"
SCALE = ".row_scale"
"""Ends the name of the scales (rows, 1) of a matrix of int8."""


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint as ``melodygen models`` lists it.

    Attributes:
        name: name of the folder.
        kind: ``generator``, ``classifier``, ``tagger``, ``beats`` or ``detector``.
        path: the folder.
        sha256: hash of the weights file.
        summary: one line from the config.
    """

    name: str
    kind: str
    path: Path
    sha256: str
    summary: str


def weights_sha256(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights in hexadecimal. Raises CheckpointError when they cannot be
    read.
    """
    try:
        with (folder / WEIGHTS).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"checkpoint {folder}: {WEIGHTS} cannot be read: {error.strerror}") from error


def read_config(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Return ``config.json`` of a checkpoint, checked for format version and kind.

    Args:
        folder: the checkpoint folder.
        kind: ``generator``, ``classifier``, ``tagger``, ``beats`` or ``detector`` if only that kind is accepted.

    Raises:
        CheckpointError: the folder is no checkpoint, or of another version or kind.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} is no checkpoint: it has no {CONFIG}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder}: {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("kind") not in (
        "generator",
        "classifier",
        "tagger",
        "beats",
        "detector",
    ):
        raise CheckpointError(f"checkpoint {folder}: {CONFIG} is not melodygen's (no kind)")
    if config.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint {folder} has format version {config.get('format_version')}; "
            f"this melodygen reads version {FORMAT_VERSION}: use the melodygen that wrote it, or train again"
        )
    if kind is not None and config["kind"] != kind:
        raise CheckpointError(f"checkpoint {folder} is a {config['kind']}, not a {kind}")
    if "leaning" in config:  # the key's name until 0.2
        config.setdefault("logit_bias", config.pop("leaning"))
    return config


def net_type(config: Mapping[str, Any]) -> str:
    """Return the type of the net that the config of a checkpoint names; empty where it names none."""
    net = config.get("net")
    return str(net.get("type", "")) if isinstance(net, dict) else ""


def save_checkpoint(
    folder: Path, net: nn.Module, config: Mapping[str, Any], card: str, half: bool = True
) -> None:
    """Write a checkpoint folder. Each file appears whole; the config is written last.

    Args:
        folder: the folder to write; it is made when missing.
        net: the net whose ``state_dict`` is saved.
        config: fields of ``config.json`` beside the format version.
        card: text of the model card.
        half: save the weights as float16.
    """
    import torch
    from safetensors.torch import save

    from melodygen.atomic import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: (v.detach().to(torch.float16) if half and v.is_floating_point() else v.detach())
        .contiguous()
        .clone()
        for k, v in net.state_dict().items()
    }
    with atomic_path(folder / WEIGHTS, overwrite=True) as temporary:
        temporary.write_bytes(save(tensors))  # safetensors' own file would be readable by its owner only
    with atomic_path(folder / CARD, overwrite=True) as temporary:
        temporary.write_text(card, encoding="utf-8")
    record = {"format_version": FORMAT_VERSION, **config}
    with atomic_path(folder / CONFIG, overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load_weights(folder: Path, net: nn.Module) -> None:
    """Load a checkpoint's weights into a net, strictly and as float32.

    Raises:
        CheckpointError: the file is missing or broken, or names or shapes do not fit the net.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(str(folder / WEIGHTS))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"checkpoint {folder}: {WEIGHTS} is missing or broken: {error}") from error
    tensors = _grown(_whole(tensors), net)
    try:
        net.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, strict=True
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"checkpoint {folder}: the weights do not fit the net: {reason}") from error


def _whole(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights whose rows are stored in 8 bits, each row times its ``SCALE``."""
    scales = {name: t for name, t in tensors.items() if name.endswith(SCALE)}
    plain = {name: t for name, t in tensors.items() if name not in scales}
    return plain | {
        name.removesuffix(SCALE): plain[name.removesuffix(SCALE)].float() * scale.float()
        for name, scale in scales.items()
        if name.removesuffix(SCALE) in plain
    }


def _grown(tensors: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Weights of an earlier vocabulary with a row for each token that came after: the mean of all, a token about which
    nothing is known."""
    held, wanted = tensors.get(EMBEDDING), net.state_dict().get(EMBEDDING)
    if held is None or wanted is None or len(held) not in EARLIER_VOCABULARIES.values():
        return tensors
    import torch

    row = held.float().mean(dim=0, keepdim=True).to(held.dtype)
    return tensors | {EMBEDDING: torch.cat([held, row.expand(max(0, len(wanted) - len(held)), -1)])}


def resolve(spec: str, default: str) -> Path:
    """Return the folder of a checkpoint.

    Args:
        spec: a path to a checkpoint folder, or a name below the models folder; empty for ``default``.
        default: the name used when ``spec`` is empty.

    Raises:
        CheckpointError: no checkpoint has this path or name.
    """
    if spec:
        path = Path(spec)
        if (path / CONFIG).is_file():
            return path
        if path.is_absolute() or len(path.parts) > 1:
            raise CheckpointError(f"{spec} is no checkpoint folder: it has no {CONFIG}")
    folder = models_dir() / (spec or default)
    if not (folder / CONFIG).is_file():
        known = ", ".join(i.name for i in list_checkpoints()) or "none"
        raise CheckpointError(
            f"no checkpoint is called {spec or default!r}; known: {known}; or give a folder"
        )
    return folder


def list_checkpoints() -> list[CheckpointInfo]:
    """Return the checkpoints below the models folder, by name; broken ones are left out."""
    found = []
    root = models_dir()
    for folder in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []:
        if not (folder / CONFIG).is_file():
            continue
        try:
            config = read_config(folder)
            found.append(
                CheckpointInfo(
                    folder.name,
                    config["kind"],
                    folder,
                    weights_sha256(folder),
                    str(config.get("summary", "")),
                )
            )
        except CheckpointError:
            continue
    return found
