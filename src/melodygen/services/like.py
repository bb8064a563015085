"""What can be asked of a generator so that a piece is like a track: style, tempo, meter, key, density."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.classification.symbolic import is_symbolic, read_symbolic
from melodygen.errors import CheckpointError, UsageError
from melodygen.library.track import Facts
from melodygen.music.score import Score
from melodygen.registry import list_styles
from melodygen.request import CONTROLS
from melodygen.tokens.vocabulary import DENSITIES, density_level


def controls_like(path: Path, model: str | None = None) -> dict[str, Any]:
    """Describe a recording, MIDI or score file, and take over what can be asked of a generator.

    ``model`` is the generator, which knows what is dense in a style. The density of a recording is not known. Raises
    AudioError or MidiReadError for a file that cannot be read, UsageError for one that is no music.
    """
    from melodygen.services.describing import Describer

    found = controls_of(Describer.load().describe(path).facts, path.name)
    if is_symbolic(path):
        found["density"] = density_of(read_symbolic(path), _density_levels(model).get(found["style"], ()))
    return found


def density_of(score: Score, levels: Sequence[float]) -> float:
    """0.0 sparse to 1.0 dense, as ``--density``: where a score's notes per quarter and role lie among a style's.

    ``levels`` are the density levels at evenly spaced quantiles of the style; without them the level itself counts.
    """
    pitched = [track for track in score.tracks if not track.is_drum and len(track)]
    roles = len({track.role for track in pitched}) or 1
    quarters = max(score.end_tick / score.ticks_per_quarter, 1.0)
    level = density_level(sum(len(track) for track in pitched) / quarters / roles)
    if not levels:
        return round(level / (DENSITIES - 1), 2)
    below, through = np.searchsorted(levels, [level - 0.5, level + 0.5])
    middle = (below + through - 1) / 2
    return round(float(np.clip(middle / (len(levels) - 1), 0.0, 1.0)), 2)


def _density_levels(model: str | None) -> dict[str, list[float]]:
    """Of a generator's checkpoint, by style; empty for a generator that is none."""
    from melodygen.nets import checkpoint

    first = (model or "").partition(",")[0]
    try:
        config = checkpoint.read_config(checkpoint.resolve(first, checkpoint.DEFAULT_GENERATOR), "generator")
    except CheckpointError:
        return {}
    return dict(config.get("density_quantiles", {}))


def controls_of(facts: Facts, name: str) -> dict[str, Any]:
    """The likeliest style that is installed, the tempo if a generator can play it, the meter if there is such a choice,
    and the key. Raises UsageError when no style is known."""
    installed = list_styles()
    style = next((label for label, _ in facts.styles if label in installed), None)
    if style is None:
        raise UsageError(
            f"{name} sounds like none of the styles ({', '.join(installed)}); name one with --style"
        )
    found: dict[str, Any] = {"style": style}
    values = {"qpm": facts.qpm, "meter": facts.meter, "key": facts.key}
    for control, value in values.items():
        if value is not None:
            try:
                found[control] = CONTROLS[control].check(value)
            except UsageError:
                continue  # 3/8, or a tempo that no generator was trained at: the style's own is taken
    return found


__all__ = ["controls_like", "controls_of", "density_of"]
