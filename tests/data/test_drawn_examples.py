"""The same seed draws the same examples and views as before."""

from __future__ import annotations

import json
from pathlib import Path

from drawn_examples import example_hashes, view_hashes

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "drawn_examples.json").read_text())


def test_examples_of_the_generator_are_as_before() -> None:
    found = example_hashes()
    assert found == {name: GOLDEN[name] for name in found} and len(found) == 12


def test_views_of_the_classifier_are_as_before() -> None:
    found = view_hashes()
    assert found == {name: GOLDEN[name] for name in found} and len(found) == 10
