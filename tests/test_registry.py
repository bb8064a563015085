from __future__ import annotations

import sys
from pathlib import Path

import pytest

from melodygen import registry
from melodygen.errors import PluginError
from melodygen.registry import nearest
from melodygen.styles.loader import built_in_styles


def test_built_in_styles_are_files() -> None:
    styles = built_in_styles()
    assert len(styles) == 10
    assert all(registry.list_styles()[name] is style for name, style in styles.items())


def test_every_style_says_what_plays_it() -> None:
    for style in built_in_styles().values():
        pitched = [role for role in style.tracks if role != "drums"]
        assert sorted(style.programs) == sorted(pitched), style.name
        assert all(0 <= program <= 127 for program in style.programs.values())
        assert 20 <= style.qpm <= 300


def test_plug_ins_of_another_package_are_found(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    assert "fakeband" in registry.names("generators")
    assert registry.list_styles()["polka"].meter == (2, 4)
    assert registry.load("generators", "fakeband")("").model_id == "fakeband-writer@0000"


def test_unknown_name_lists_known_and_suggests() -> None:
    with pytest.raises(
        PluginError, match=r"no style is called 'jaz'; did you mean 'jazz'\? known: baroque, blues"
    ):
        registry.load("styles", "jaz")


def test_plug_in_that_cannot_be_imported(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    with pytest.raises(PluginError, match=r"'broken' \(fakeband:NoSuchThing\) cannot be loaded"):
        registry.load("generators", "broken")


def test_two_packages_with_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "rival-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[melodygen.styles]\njazz = rival:JAZZ\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(PluginError, match="two packages offer the style 'jazz'"):
        registry.names("styles")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("jaz", "jazz"), ("Classic", "classical"), ("baroc", "baroque"), ("polka", None), ("trumpet", None)],
)
def test_suggestions_are_near_or_there_is_none(name: str, meant: str | None) -> None:
    said = nearest(name, ("jazz", "classical", "baroque", "folk", "drums"))
    assert said.startswith(f"did you mean {meant!r}? " if meant else "known: ")
