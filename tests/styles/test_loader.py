"""Styles as files: the built-in ones are whole, a new one goes everywhere, a broken one is named and harms nothing."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import BAND, Run
from drawn_examples import STYLES, TAKES, source
from pieces import tune

from melodygen import registry
from melodygen.data.dataset import PLAIN as PLAIN_EXAMPLE
from melodygen.data.dataset import ExampleSampler
from melodygen.data.shards import PieceInfo, build_shards
from melodygen.data.views import PLAIN, ViewMaker
from melodygen.errors import PluginError, StyleError
from melodygen.generation.logit_bias import LogitBiasConfig
from melodygen.styles.loader import ROLES, built_in_styles, read_style, read_style_folders, style_folders
from melodygen.styles.style import LOGIT_BIASES, VOICE_STEMS, Style, style_named
from melodygen.tokens.codec import decode
from melodygen.tokens.grid import score_to_piece

SKA = """
name = "ska"
description = "Off-beats and horns"
qpm = 148
meter = "4/4"
tracks = ["melody", "chords"]
[programs]
melody = 56
chords = 27
[dataset]
weight = 3
own_takes = ["reggae"]
drum_takes = ["pop"]
[arrangement]
add_bass = 1.0
add_drums = 1.0
add_extra = 1.0
drum_takes = ["pop"]
programmed_drums = 0
[accompaniment]
bass = ["octaves"]
horns = 1.0
[orchestration.programs]
melody = [57]
bass = [33]
extra = [61]
[sampling]
temperature = 0.8
[logit_bias]
home = 1.5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the style ``ska``, known to melodygen."""
    made = tmp_path / "my styles"
    made.mkdir()
    (made / "ska.toml").write_text(SKA)
    monkeypatch.setenv("MELODYGEN_STYLES", str(made))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return made


def test_the_built_in_styles_say_all_they_must() -> None:
    from melodygen.music import score

    assert score.ROLES == ROLES and tuple(f.name for f in fields(LogitBiasConfig)) == LOGIT_BIASES
    assert set(built_in_styles()) == set(STYLES)
    for style in built_in_styles().values():
        assert set(style.orchestration.programs) == set(VOICE_STEMS), style.name
        assert style.dataset.weight > 0 and style.arrangement.mma_files


def test_a_file_is_a_style_everywhere_in_the_registry_and_the_data(folder: Path) -> None:
    style = registry.load("styles", "ska")
    assert style is not None and (style.qpm, style.meter, style.swing) == (148.0, (4, 4), 0.5)
    assert "ska" in registry.names("styles") and registry.list_styles()["ska"] == style

    takes = {"pop": [source("pop", tune(9, roles=("drums",)), (4, 4), False, False)]}
    piece = source("ska", tune(12, roles=("melody", "chords")), (4, 4), True, True)
    for seed in range(8):
        view = ViewMaker(takes).make(piece, np.random.default_rng(seed), PLAIN)
        assert view is not None
        found = {stem: track.program for stem, track in zip(view.stems, view.score.tracks, strict=True)}
        assert {"melody", "harmony", "bass", "drums", "extra"} == set(found)
        if found["melody"] == 57:  # typical of the style; else anything
            assert (found["bass"], found["extra"], found["harmony"]) == (33, 61, 27)
            break
    else:
        pytest.fail("no view was played on the style's own programs")

    info = PieceInfo("ska/a/p", "ska", "s", "train", "piece", "p", 0, 0, 148.0, "p", True)
    take = PieceInfo("drums/x/t", "pop", "s", "train", "drums", "t", 0, 0, 148.0, "t", False)
    alone = PieceInfo("drums/x/r", "reggae", "s", "train", "drums", "r", 0, 0, 148.0, "r", False)
    drums = score_to_piece(tune(9, roles=("drums",)))
    shards = build_shards([
        (score_to_piece(tune(8, roles=("melody", "chords"))), info), (drums, take), (drums, alone),
    ])  # fmt: skip
    sampler = ExampleSampler(shards, "train", ("ska",), replace(PLAIN_EXAMPLE, band=1.0))
    example = sampler.build(shards.pieces[0], np.random.default_rng(0), (0, 8))
    assert example is not None and (example.style, "drums" in example.roles) == ("ska", True)
    chords = [bar.parts["chords"] for bar in decode(example.ids.tolist()).bars if "chords" in bar.parts]
    assert any(len({note[0] for note in notes}) > 1 for notes in chords)  # comping, not blocks
    reggae = sampler.build(shards.pieces[2], np.random.default_rng(0), (0, 4))
    assert reggae is not None and reggae.style == "ska"


def test_a_style_without_tables_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text('name = "bare"\ndescription = "x"\n')
    bare = read_style(tmp_path / "bare.toml")
    assert bare == Style("bare", "x") and style_named("unheard of", {}) == Style("unheard of", "")
    for seed in range(6):
        piece = source("unheard of", tune(12, roles=("melody", "chords")), (4, 4), True, True)
        assert ViewMaker().make(piece, np.random.default_rng(seed)) is not None
    assert TAKES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"', "description must be given"),
        ('name = "Big Band"\ndescription = ""', r"name = 'Big Band' is not possible; use 1 to 40 of a-z"),
        ('name = "x"\ndescription = ""\nqpm = 900', r"qpm = 900 is not possible; give a number, 20 to 300"),
        ('name = "x"\ndescription = ""\nqpm = true', r"qpm = True is not possible"),
        ('name = "x"\ndescription = ""\nmeter = "4"', r"meter = '4' is not possible; give a meter"),
        ('name = "x"\ndescription = ""\ntempo = 90', r"tempo is not a key; known: name, description, qpm"),
        ('name = "x"\ndescription = ""\ntracks = []', r"name at least one role"),
        ('name = "x"\ndescription = ""\ntracks = ["lead"]', r"'lead' is not a role; use melody"),
        (
            'name = "x"\ndescription = ""\n[programs]\nmelody = 128',
            r"programs.melody = 128 is not possible; .*127",
        ),
        (
            'name = "x"\ndescription = ""\n[arrangement]\nadd_bas = 1',
            r"arrangement.add_bas .* mean 'add_bass'\?",
        ),
        ('name = "x"\ndescription = ""\n[arrangement]\nadd_bass = nan', r"arrangement.add_bass = nan"),
        ('name = "x"\ndescription = ""\n[arrangement]\nmma_files = "("', r"not a regular expression"),
        (
            'name = "x"\ndescription = ""\n[accompaniment]\nbass = ["slap"]',
            r"'slap' is not possible; give one of walk",
        ),
        ('name = "x"\ndescription = ""\narrangement = 3', r"arrangement = 3 is not possible; give a table"),
        (
            'name = "x"\ndescription = ""\n[orchestration.programs]\nlead = [1]',
            r"'lead' .* one of melody, harmony",
        ),
        (
            'name = "x"\ndescription = ""\n[logit_bias]\nhope = 1',
            r"'hope' is not possible; give one of chord",
        ),
        ("name = ", "is not TOML"),
        ("\0", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_key_value_and_way_out(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(StyleError, match=message) as caught:
        read_style(path)
    assert str(path) in str(caught.value)


def test_a_broken_file_is_named_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "blurred.toml").write_bytes(b"\xff\xfe")
    (folder / "mine.toml").write_text('name = "jazz"\ndescription = "mine"')
    found = read_style_folders([folder, folder.parent / "none"], ["jazz"])
    assert set(found.styles) == {"ska"} and set(found.errors) == {"blurred", "mine"}
    assert "'jazz' is taken by another style" in str(found.errors["mine"])
    assert "ska" in registry.list_styles() and registry.list_styles()["jazz"].qpm == 150.0
    with pytest.raises(StyleError, match=r"blurred\.toml is not TOML"):
        registry.load("styles", "blurred")
    with pytest.raises(PluginError, match="no style is called 'skaa'; did you mean 'ska'"):
        registry.load("styles", "skaa")
    assert folder in style_folders()


def test_the_command_lists_and_writes_a_style_of_a_file(
    melodygen: Run, folder: Path, env: dict[str, str]
) -> None:
    (folder / "blurred.toml").write_bytes(b"\xff")
    env = {**env, "MELODYGEN_STYLES": str(folder)}
    listed = melodygen("styles", "--json", env=env)
    assert listed.returncode == 0 and "blurred.toml is not TOML" in listed.stderr
    ska = next(s for s in json.loads(listed.stdout) if s["name"] == "ska")
    assert ska["instruments"] == {"melody": "Trumpet", "chords": "Electric Guitar (clean)"}
    (folder / "mazurka.toml").write_text(SKA.replace('"ska"', '"mazurka"'))  # which the model knows
    arguments = ("--bars", "2", "--min-style", "0", "--formats", "mid", "--json")
    done = melodygen("generate", "--style", "mazurka", *BAND, *arguments, env=env)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["style"] == "mazurka" and report["qpm"] == 148.0
    refused = melodygen("generate", "--style", "blurred", *BAND, env=env)
    assert refused.returncode == 1 and "blurred.toml is not TOML" in refused.stderr


def test_sampling_is_the_checkpoints_then_the_styles(folder: Path, tmp_path: Path) -> None:
    from training_folder import write_model

    from melodygen.generation.neural import NeuralGenerator

    model = write_model(tmp_path / "model", ("ska", "jazz"))
    (folder / "ska.toml").write_text(SKA)
    generator = NeuralGenerator.from_folder(model)
    assert generator._sampling["ska"] == {"temperature": 0.8, "top_p": 0.95}
    assert generator._logit_bias["ska"] == LogitBiasConfig(home=1.5)
    config = json.loads((model / "config.json").read_text())
    for key in ("leaning", "logit_bias"):  # the name until 0.2, and since
        changed = {**config, "sampling": {"ska": {"top_p": 0.9}}, key: {"ska": {"home": 3.0}}}
        (model / "config.json").write_text(json.dumps(changed))
        generator = NeuralGenerator.from_folder(model)
        assert generator._sampling["ska"] == {"temperature": 0.9, "top_p": 0.9}
        assert generator._logit_bias["ska"] == LogitBiasConfig(home=3.0)
        assert generator._logit_bias["jazz"] == LogitBiasConfig()
