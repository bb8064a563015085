"""Write samples/: two pieces in each style and two long ones as MIDI and Ogg, and a README that says how each was made.

    python scripts/make_samples.py [--seed 1] [--out samples]

Run with the same seed and models it writes the same files again. It runs the command that a user would.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from melodygen.styles.loader import built_in_styles

PIECES_PER_STYLE = 2
LONG_STYLES, LONG_BARS = ("jazz", "pop"), 64


def make(stem: str, folder: Path, *controls: str) -> list[dict[str, Any]]:
    """The reports of the pieces written."""
    arguments = [*controls, "--json", "--force"]
    place = ["--out", str(folder / f"{stem}.mid"), "--formats", "mid,ogg"]
    command = [sys.executable, "-m", "melodygen", "generate", *arguments, *place]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    written: dict[str, Any] = json.loads(done.stdout)
    return list(written.get("pieces", [written]))  # a single piece is told without a list


def describe(pieces: list[dict[str, Any]]) -> str:
    """README.md of the folder."""
    lines = [
        "# Samples",
        "",
        "Written by `python scripts/make_samples.py`, not picked by hand. *Style* is the classifier's probability of",
        "the style asked for; since the loop chooses by it, *all* is the mean over everything that was written.",
        "",
        "| piece | style | all | candidates | command |",
        "|---|---|---|---|---|",
    ]
    for piece in pieces:
        name = Path(piece["midi"]).stem
        below = "" if piece["accepted"] else f" (below {piece['min_style']:g})"
        lines.append(
            f"| {name} ([MIDI]({name}.mid), [Ogg]({name}.ogg)) | {piece['style_probability']:.2f}{below} | "
            f"{piece['unselected_mean_probability']:.2f} | {len(piece['candidates'])} | `{piece['command']}` |"
        )
    models = sorted({(piece["model"], piece["classifier"], piece["renderer"]) for piece in pieces})
    lines += ["", *(f"Model {m}, classifier {c}, renderer {r}." for m, c, r in models), ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "samples")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    pieces = []
    for style in built_in_styles().values():
        asked = ("--style", style.name, "--seed", str(options.seed))
        pieces += make(style.name, options.out, *asked, "--count", str(PIECES_PER_STYLE))
        heard = [f"{piece['style_probability']:.2f}" for piece in pieces[-PIECES_PER_STYLE:]]
        print(f"{style.name}: {', '.join(heard)}", flush=True)
    for name in LONG_STYLES:
        asked = ("--style", name, "--seed", str(options.seed))
        pieces += make(f"{name}-long", options.out, *asked, "--bars", str(LONG_BARS))
        print(f"{name}, {LONG_BARS} bars: {pieces[-1]['style_probability']:.2f}", flush=True)
    (options.out / "README.md").write_text(describe(pieces), encoding="utf-8")


if __name__ == "__main__":
    main()
