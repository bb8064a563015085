"""The tagger's styles beside the style CNN's: what is multiplied, what stays apart, and where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melodygen.audio.buffer import Audio
from melodygen.audio.features import to_mono_at
from melodygen.audio.files import write_audio
from melodygen.classification.batch import load_recognizer
from melodygen.classification.instrument_evidence import instrument_evidence
from melodygen.classification.recognizer import RecognitionOptions
from melodygen.classification.symbolic import read_symbolic
from melodygen.classification.tag_evidence import LabelEvidence, TagEvidence, read_tag_evidence
from melodygen.classification.tagger import load_tagger
from melodygen.classification.taxonomy import STYLE_TAGS
from melodygen.errors import CheckpointError
from melodygen.io.midi import write_midi
from melodygen.music.score import Score, Tempo, Track, note_array
from melodygen.rendering.draft import render_draft
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.services.describing import Describer
from melodygen.styles.scores import StyleScores
from melodygen.training.recipes.recipe import find_classifier_recipe

STYLES = {"jazz": ("jazz",), "hymn": ("classical",), "baroque": ("classical",), "folk": ("folk", "country")}
ENTRY: dict[str, Any] = {
    "weight": 0.5, "temperature": 2.0,
    "labels": {k: {"styles": list(v), "usual": -2.0} for k, v in STYLES.items()},
}  # fmt: skip
PLAIN = RecognitionOptions(rhythm=False)


def evidence(weight: float, temperature: float = 1.0, **usual: float) -> TagEvidence:
    labels = {k: LabelEvidence(v, usual.get(k, -2.0)) for k, v in STYLES.items()}
    return TagEvidence(weight, temperature, labels)


def tagged(**shares: float) -> StyleScores:
    """A tagger that gives these styles so much, and the others alike what is left."""
    rest = (1 - sum(shares.values())) / (len(STYLE_TAGS) - len(shares))
    return StyleScores(tuple(STYLE_TAGS), np.array([shares.get(s, rest) for s in STYLE_TAGS]), "tagger")


def test_probabilities_are_multiplied() -> None:
    own = (("jazz", 0.5), ("hymn", 0.3), ("folk", 0.2))
    heard = tagged(jazz=0.04, classical=0.09, folk=0.01, country=0.64)
    found = evidence(0.5).fused(own, heard)
    product = np.array([0.2 * 0.8, 0.5 * 0.2, 0.3 * 0.3])  # folk, as country speaks for it; jazz; hymn
    assert [name for name, _ in found] == ["folk", "jazz", "hymn"]
    assert np.allclose([p for _, p in found], product / product.sum())
    flat = evidence(0.5, temperature=2.0).fused(own, heard)
    assert np.allclose([p for _, p in flat], np.sqrt(product) / np.sqrt(product).sum())


def test_what_is_usual_for_a_label_says_nothing() -> None:
    own, heard = (("jazz", 0.6), ("folk", 0.4)), tagged(jazz=0.5, folk=0.02, country=0.01)
    found = evidence(1.0, jazz=float(np.log(0.5)), folk=float(np.log(0.02))).fused(own, heard)
    assert [n for n, _ in found] == ["jazz", "folk"] and np.allclose([p for _, p in found], (0.6, 0.4))
    assert evidence(1.0, jazz=float(np.log(0.5)), folk=float(np.log(0.002))).fused(own, heard)[0][0] == "folk"


def test_a_label_for_which_nothing_speaks_counts_as_usual() -> None:
    own = (("game", 0.5), ("jazz", 0.5))
    for share, likelier in ((0.3, "jazz"), (0.01, "game")):  # of exp(-2)
        found = dict(evidence(1.0).fused(own, tagged(jazz=share, electronic=0.6)))
        assert max(found, key=found.__getitem__) == likelier
        assert found["jazz"] / found["game"] == pytest.approx(share / np.exp(-2))


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda p: sum(p) > 0.01),
    st.floats(0, 0.9), st.floats(0, 2), st.floats(0.1, 10),
)  # fmt: skip
def test_labels_that_share_a_style_of_the_tagger_are_told_apart_by_the_classifier(
    shares: list[float], classical: float, weight: float, temperature: float
) -> None:
    own = tuple(zip(STYLES, (np.array(shares) / sum(shares)).tolist(), strict=True))
    found = evidence(weight, temperature).fused(own, tagged(classical=classical))
    held, before = dict(found), dict(own)
    assert held.keys() == before.keys() and sum(held.values()) == pytest.approx(1)
    assert [p for _, p in found] == sorted(held.values(), reverse=True)
    same_order = (held["hymn"] >= held["baroque"]) == (before["hymn"] >= before["baroque"])
    assert same_order or held["hymn"] == held["baroque"]


def test_a_tagger_without_weight_changes_nothing() -> None:
    own = (("jazz", 0.7), ("hymn", 0.2), ("folk", 0.1))
    found = evidence(0.0).fused(own, tagged(folk=0.9))
    assert [n for n, _ in found] == [n for n, _ in own]
    assert np.allclose([p for _, p in found], [p for _, p in own])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 0.0}, r"temperature = 0\.0 is not possible"),
        ({"weight": "half"}, "weight = 'half' is not possible"),
        ({"folk": {"styles": ["polka"]}}, r"labels\.folk\.styles = 'polka' is not possible; give one of"),
        ({"weight": 3.0}, r"weight = 3\.0 is not possible; give a number, 0 to 2"),
        ({"folk": {"usual": 1.0}}, r"labels\.folk\.usual = 1\.0 is not possible; give a number, -30 to 0"),
        ({"folk": {"styles": []}}, "must give styles for jazz, hymn, baroque, folk, game alone"),
        ({"labels": {"reel": ENTRY["labels"]["folk"]}}, "must give styles for jazz, hymn"),
    ],
    ids=str,
)
def test_a_broken_entry_is_refused(changes: dict[str, Any], message: str) -> None:
    labels = (*STYLES, "game")
    assert read_tag_evidence("x", None, labels) is None
    assert read_tag_evidence("x", ENTRY, labels) == evidence(0.5, 2.0)
    folk = changes.pop("folk", None)
    broken = ENTRY | changes
    if folk is not None:
        broken = broken | {"labels": ENTRY["labels"] | {"folk": ENTRY["labels"]["folk"] | folk}}
    with pytest.raises(CheckpointError, match=message):
        read_tag_evidence("x", broken, labels)


# ---- the shipped checkpoints


def tune(program: int = 0) -> Score:
    rows = [(i * 480, 400, pitch, 80) for i, pitch in enumerate((62, 66, 69, 74, 73, 69, 66, 64) * 5)]
    return Score((Track(note_array(rows), program, False, "melody", "tune"),), (Tempo(0, 120.0),))


@pytest.mark.models
def test_scores_and_renders_are_judged_by_both_and_by_one_where_it_is_named(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", tune())
    audio = render_draft(read_symbolic(tmp_path / "a.mid"), SamplerRenderer())
    here, tagger = load_recognizer(), load_tagger()
    alone = load_recognizer("style-cnn").classify(tmp_path / "a.mid", PLAIN)
    found = here.classify(tmp_path / "a.mid", RecognitionOptions(rhythm=False, segments=True, whole=True))
    shipped = here.for_renders.tag_evidence  # type: ignore[attr-defined]  # of the shipped CNN
    expected = shipped.fused(alone.styles, tagger.tag(to_mono_at(audio, tagger.sample_rate)).styles)
    assert found.styles == expected and found.styles != alone.styles
    assert found.classifier == f"{alone.classifier}+{tagger.classifier_id}" == found.to_dict()["classifier"]
    assert found.unsure == (found.styles[0][1] < 0.5)
    for segment in found.segments:
        assert sum(p for _, p in segment.styles) == pytest.approx(1)
    write_audio(tmp_path / "a.flac", Audio(audio.samples, audio.sample_rate), {"software": "melodygen 1.0"})
    render = here.classify(tmp_path / "a.flac", PLAIN)
    assert render.kind == "render" and render.classifier == found.classifier
    assert dict(render.styles) == pytest.approx(dict(found.styles), abs=0.02)  # 16 bits
    kept = Describer.of(here).describe(tmp_path / "a.mid").facts.styles
    assert kept[0][0] == found.styles[0][0] and kept != alone.styles


@pytest.mark.models
def test_the_instruments_of_a_score_count_and_those_of_its_render_are_not_known(tmp_path: Path) -> None:
    write_midi(tmp_path / "a.mid", tune(105))
    here, tagger = load_recognizer(), load_tagger()
    shipped = here.for_renders.tag_evidence  # type: ignore[attr-defined]  # of the shipped CNN
    score = read_symbolic(tmp_path / "a.mid")
    audio = render_draft(score, SamplerRenderer())
    alone = load_recognizer("style-cnn").classify(tmp_path / "a.mid", PLAIN)
    heard = tagger.tag(to_mono_at(audio, tagger.sample_rate)).styles
    banjo = instrument_evidence(score, here.for_renders.labels)
    found = here.classify(tmp_path / "a.mid", PLAIN)
    assert found.styles == shipped.fused(alone.styles, heard, banjo)
    unheard = dict(shipped.fused(alone.styles, heard))
    assert dict(found.styles)["folk"] > unheard["folk"] + 1e-3
    write_audio(tmp_path / "a.flac", Audio(audio.samples, audio.sample_rate), {"software": "melodygen 1.0"})
    assert dict(here.classify(tmp_path / "a.flac", PLAIN).styles) == pytest.approx(unheard, abs=0.02)
    kept = dict(Describer.of(here).describe(tmp_path / "a.mid").facts.styles)
    assert kept["folk"] > unheard["folk"] + 1e-3


@pytest.mark.models
def test_the_recipe_makes_what_is_shipped() -> None:
    assert load_recognizer().for_renders.tag_evidence == find_classifier_recipe("style-cnn").tag_evidence  # type: ignore[attr-defined]
