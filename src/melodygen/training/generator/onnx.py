"""Nets as ONNX, written only when they compute what torch computes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melodygen.atomic import atomic_path
from melodygen.classification.cnn import CnnClassifier
from melodygen.classification.tagger import is_tagger
from melodygen.errors import CheckpointError, PluginError
from melodygen.generation.neural import NETS, NeuralGenerator
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.transformer import Transformer, TransformerBlock, seen
from melodygen.tokens.vocabulary import VOCABULARY

LARGEST_DIFFERENCE = 1e-4
OPSET = 17
EXAMPLE_STREAM = 1
"""Random stream of the inputs that are compared."""


class _RmsNorm(nn.Module):
    """RMS norm in operations that ONNX has."""

    def __init__(self, norm: nn.RMSNorm) -> None:
        super().__init__()
        self.weight, self.eps = norm.weight, norm.eps or 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + self.eps) * self.weight


def _with_plain_norms(net: nn.Module) -> nn.Module:
    copied = copy.deepcopy(net)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.RMSNorm):
                setattr(module, name, _RmsNorm(child))
    return copied


class _Traceable(nn.Module):
    """A Transformer with its causal mask spelt out: tracing turns lengths into tensors."""

    def __init__(self, net: Transformer) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor) -> Tensor:
        net, steps = self.net, ids.shape[1]
        x = net.embedding(ids) * net.width**0.5
        cos, sin = net.get_buffer("cos")[:steps], net.get_buffer("sin")[:steps]
        for block in net.blocks:
            assert isinstance(block, TransformerBlock)
            x = block(x, cos, sin, mask=seen(steps, block.window))
        return net.logits(x)


@dataclass(frozen=True)
class _Exported:
    """A net with the name of its input, that input's free axes, and inputs of different sizes to compare with."""

    net: nn.Module
    input_name: str
    axes: Mapping[int, str]
    examples: tuple[Tensor, ...]


def _exportable(folder: Path) -> str:
    """The kind of a checkpoint. Raises CheckpointError for one that is not written as ONNX."""
    config = checkpoints.read_config(folder)
    kind = str(config["kind"])
    if kind not in ("generator", "classifier") or is_tagger(config):
        what = "a tagger, or a head on one" if kind == "classifier" else f"of the kind {kind}"
        raise CheckpointError(
            f"checkpoint {folder} is {what}; only generators and style CNNs can be written as ONNX"
        )
    return kind


def _loaded(folder: Path, kind: str) -> _Exported:
    """The net of a checkpoint in float32."""
    rng = np.random.default_rng(EXAMPLE_STREAM)
    if kind == "generator":
        NeuralGenerator.from_folder(
            folder
        )  # checks vocabulary and config; it may hold the net in another precision
        arguments = dict(checkpoints.read_config(folder)["net"])
        net: nn.Module = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
        checkpoints.load_weights(folder, net)
        ids = [rng.integers(0, VOCABULARY.size, shape) for shape in ((2, 24), (1, 1), (3, 130))]
        return _Exported(net.eval(), "ids", {0: "batch", 1: "steps"}, tuple(map(torch.from_numpy, ids)))
    classifier = CnnClassifier.from_folder(folder)
    shape = (classifier.front_end.num_bands, classifier.front_end.num_frames)
    levels = [rng.normal(size=(n, *shape)).astype(np.float32) for n in (2, 1, 5)]
    return _Exported(classifier._net.eval(), "levels", {0: "batch"}, tuple(map(torch.from_numpy, levels)))


def _difference(exported: _Exported, session: Any) -> float:
    """The largest difference of the logits between torch and ONNX."""
    largest = 0.0
    for example in exported.examples:
        with torch.inference_mode():
            expected = exported.net(example).numpy()
        found = session.run(["logits"], {exported.input_name: example.numpy()})[0]
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def export_onnx(model: str, target: Path, overwrite: bool = False) -> dict[str, Any]:
    """Write a checkpoint as an ONNX file; both axes of a generator's ids and the batch of a classifier are free.

    Args:
        model: name or folder of a checkpoint.
        target: the file.
        overwrite: replace the file if it is there.

    Returns:
        Model, file, kind, largest difference from torch, size in bytes and opset.

    Raises:
        PluginError: the ``onnx`` extra is not installed.
        CheckpointError: the checkpoint is neither a generator nor a style CNN, or the result differs from torch by more
            than ``LARGEST_DIFFERENCE``.
    """
    folder = checkpoints.resolve(model, checkpoints.DEFAULT_GENERATOR)
    kind = _exportable(folder)
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise PluginError("export needs the packages: pip install 'melodygen[onnx]'") from error
    exported = _loaded(folder, kind)
    plain = _with_plain_norms(exported.net)
    traced = _Traceable(plain).eval() if isinstance(plain, Transformer) else plain
    axes = dict(exported.axes)
    with atomic_path(target, overwrite) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                traced, (exported.examples[0],), str(temporary), input_names=[exported.input_name],
                output_names=["logits"], opset_version=OPSET,
                dynamic_axes={exported.input_name: axes, "logits": axes}, dynamo=False,
            )  # fmt: skip
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        difference = _difference(exported, session)
        if not difference <= LARGEST_DIFFERENCE:
            raise CheckpointError(
                f"{model} as ONNX differs from torch by {difference:.1e} (at most {LARGEST_DIFFERENCE:.0e} is "
                "allowed); nothing was written"
            )
        size = temporary.stat().st_size
    return {
        "model": model, "out": str(target), "kind": kind, "difference": difference, "bytes": size, "opset": OPSET,
    }  # fmt: skip
