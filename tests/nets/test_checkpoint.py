"""Checkpoint folders: strict, whole, readable by all, and every fault named."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from melodygen.errors import CheckpointError
from melodygen.generation.neural import NeuralGenerator, load_generator, style_from_json, style_to_json
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.checkpoint import CONFIG, WEIGHTS, load_weights, read_config, save_checkpoint
from melodygen.nets.transformer import Transformer
from melodygen.styles.style import Style
from melodygen.tokens.vocabulary import VOCABULARY

NET: dict[str, Any] = {"type": "transformer", "width": 16, "layers": 1, "heads": 2, "context": 256}
STYLE = Style("polka", "two beats", 110.0, (2, 4), ("melody", "bass"), {"melody": 21}, "minor", 0.6)


def config(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "generator", "name": "tiny", "summary": "a tiny one", "net": NET,
        "vocabulary_id": VOCABULARY.vocabulary_id, "styles": [style_to_json(STYLE)], **changes,
    }  # fmt: skip


def net(width: int = 16) -> Transformer:
    torch.manual_seed(3)
    return Transformer(VOCABULARY.size, width, layers=1, heads=2, context=256)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "tiny", net(), config(), "# card\n")
    return tmp_path / "tiny"


def test_weights_survive_in_half_precision(folder: Path) -> None:
    loaded = Transformer(VOCABULARY.size, 16, layers=1, heads=2, context=256)
    load_weights(folder, loaded)
    for name, tensor in net().state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


def test_files_can_be_read_by_everyone(folder: Path) -> None:
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044, path.name
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", CONFIG, WEIGHTS]


def test_a_generator_comes_with_its_styles(folder: Path) -> None:
    generator = load_generator(str(folder))
    assert isinstance(generator, NeuralGenerator)
    assert generator.styles == ("polka",)
    assert generator.style_info["polka"] == STYLE
    assert generator.model_id.startswith("tiny@")
    assert style_from_json(json.loads(json.dumps(style_to_json(STYLE)))) == STYLE


def rewrite(folder: Path, **changes: Any) -> None:
    record = json.loads((folder / CONFIG).read_text())
    record.update(changes)
    (folder / CONFIG).write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2; this melodygen reads version 1"),
        ({"vocabulary_id": "feedfeedfeedfeed"}, "speaks vocabulary feedfeedfeedfeed"),
        ({"kind": "classifier"}, "is a classifier, not a generator"),
        ({"kind": "sampler"}, "is not melodygen's"),
        ({"net": {**NET, "type": "rwkv"}}, "rwkv"),
        ({"net": {**NET, "colour": 3}}, "colour"),
        ({"net": None}, "net"),
        ({"net": "transformer"}, "misstates"),
        ({"styles": [{"name": "polka"}]}, "misstates"),
        ({"styles": 5}, "misstates"),
        ({"net": {**NET, "width": 24, "heads": 2}}, "do not fit"),
        ({"net": {**NET, "layers": 2}}, "do not fit"),
        ({"net": {**NET, "heads": 3}}, "misstates"),
    ],
)
def test_a_config_that_does_not_fit_is_named(folder: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        NeuralGenerator.from_folder(folder)
    assert str(folder) in str(caught.value)


def test_broken_files_are_named(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for data in (whole[: len(whole) // 2], whole[:4], b"", b"\xff" * 64, whole[:-1], b"{}" * 40):
        (folder / WEIGHTS).write_bytes(data)
        with pytest.raises(CheckpointError, match=r"model\.safetensors is missing or broken"):
            NeuralGenerator.from_folder(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing or broken"):
        NeuralGenerator.from_folder(folder)
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.weights_sha256(folder)
    for text in ("{", "[]", "\x00", '"words"'):
        (folder / CONFIG).write_text(text)
        with pytest.raises(CheckpointError, match=CONFIG):
            read_config(folder)
    (folder / CONFIG).unlink()
    with pytest.raises(CheckpointError, match=r"it has no config\.json"):
        read_config(folder)


def test_a_tensor_of_another_name_is_refused(folder: Path) -> None:
    save_checkpoint(folder, torch.nn.Linear(2, 2), config(), "# card\n")
    with pytest.raises(CheckpointError, match="do not fit the net"):
        NeuralGenerator.from_folder(folder)


def test_names_and_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "models_dir", lambda: folder.parent)
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken" / CONFIG).write_text("{")
    assert [(i.name, i.kind, i.summary) for i in checkpoints.list_checkpoints()] == [
        ("tiny", "generator", "a tiny one")
    ]
    assert checkpoints.resolve("tiny", "other") == folder
    assert checkpoints.resolve(str(folder), "other") == folder
    with pytest.raises(CheckpointError, match="no checkpoint is called 'other'; known: tiny"):
        checkpoints.resolve("", "other")
    with pytest.raises(CheckpointError, match="is no checkpoint folder"):
        checkpoints.resolve("some/where", "other")
