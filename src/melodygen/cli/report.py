"""What ``melodygen generate`` says about a piece, for programs and for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from melodygen import __version__
from melodygen.cli.output import AUDIO_FORMATS
from melodygen.contracts import Renderer
from melodygen.generation.loop import Composition
from melodygen.music.harmony import key_name


def report_of(
    piece: Composition, sound: Renderer, command: str, paths: dict[str, Path], seconds: float
) -> dict[str, Any]:
    """What ``--json`` prints."""
    request, meter = piece.request, piece.score.time_signatures[0]
    keys = piece.score.key_signatures
    return {
        "style": request.style,
        "seed": piece.seed,
        "bars": request.bars,
        "qpm": round(piece.score.qpm, 3),
        "meter": str(meter),
        "key": key_name((keys[0].tonic, keys[0].mode)) if keys else None,
        "tracks": list(request.tracks),
        "midi": str(paths["mid"]) if "mid" in paths else None,
        "audio": next((str(path) for kind, path in paths.items() if kind in AUDIO_FORMATS), None),
        "files": {kind: str(path) for kind, path in paths.items()},
        "style_probability": piece.style_probability,
        "min_style": piece.min_style,
        "accepted": piece.accepted,
        "unselected_mean_probability": piece.unselected_mean_probability,
        "heard_as": dict(piece.style_scores.top(3)),
        "chosen_seed": piece.chosen.seed,
        "candidates": [
            {
                "seed": c.seed,
                "round": c.round,
                "style_probability": c.style_probability,
                "log_prob_per_token": c.log_prob_per_token,
                "craft": c.craft,
                "flaw": c.flaw or None,
            }
            for c in piece.candidates
        ],
        "turned_down": piece.num_turned_down,
        "rounds": piece.rounds,
        "seconds": round(seconds, 3),
        "model": piece.model_id,
        "classifier": piece.classifier_id,
        "renderer": sound.renderer_id,
        "version": __version__,
        "command": command,
    }


def describe(report: dict[str, Any]) -> str:
    """The same for people."""
    listed = [
        ("* " if c["seed"] == report["chosen_seed"] else "  ")
        + f"{c['style_probability']:.2f}  craft {c['craft']:.2f}  round {c['round']}  seed {c['seed']}"
        + (f"  turned down: {c['flaw']}" if c["flaw"] else "")
        for c in report["candidates"]
    ]
    shortfall = (
        ""
        if report["accepted"]
        else f"\n  No candidate reached {report['min_style']:g}: this is the best of {len(listed)}."
        "\n  Try more --max-rounds, another --seed or a lower --temperature."
    )
    return "\n".join(
        [
            f"{report['style']}, {report['bars']} bars of {report['meter']} at {report['qpm']:g} qpm"
            + (f" in {report['key']}" if report["key"] else "")
            + f": {', '.join(report['tracks'])}",
            f"  seed {report['seed']}",
            f"  style probability {report['style_probability']:.2f} "
            f"(mean of all {len(listed)} before choosing: {report['unselected_mean_probability']:.2f}; "
            f"{report['turned_down']} turned down)",
            *(f"    {line}" for line in listed),
            f"  {report['seconds']:.1f} s, {report['model']}, {report['classifier']}{shortfall}",
            *(f"  {path}" for path in report["files"].values()),
        ]
    )
