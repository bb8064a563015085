"""``melodygen analyze``: beats, tempo, key, chords and sections of a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from melodygen.analysis.track import TrackAnalysis


def analyze(
    file: Annotated[Path, typer.Argument(help="An audio, MIDI or score file.")],
    click: Annotated[
        Path | None,
        typer.Option(help="Also write the track with a click on each beat: wav, flac, ogg or mp3."),
    ] = None,
    midi: Annotated[
        Path | None,
        typer.Option(help="Also write a MIDI file with the tempo map; chords and sections are markers."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Also write a picture (PNG): beats, chords and sections over the sound."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Tell beats, bars, tempo, meter, key, chords and sections of a file.

    Beats, meter and key of MIDI and scores are those that are written. --click lets you check the beats by ear, --midi
    gives your DAW the tempo map.
    """
    from melodygen.services.analyze import AnalyzeRequest, run

    found = run(AnalyzeRequest(file, click, midi, plot, force))
    for note in found.notes:
        print(f"melodygen: {file.name}: {note}", file=sys.stderr)
    if json_:
        print(json.dumps(found.to_dict()))
    else:
        print("\n".join(lines_of(found)))


def lines_of(found: TrackAnalysis) -> list[str]:
    """The analysis for people: a line for all of it, then a line for each bar, with the sections between."""
    from melodygen.music.key import key_name

    parts = [Path(found.path).name, _clock(found.seconds)]
    if found.qpm is None or found.meter is None or len(found.beats) < 2:
        return ["  ".join([*parts, "no beats were found"])]
    parts += [f"{found.qpm:.1f} qpm", f"{found.meter[0]}/{found.meter[1]}"]
    if found.key is not None:
        parts.append(key_name(found.key, found.key_fifths))
    lines = ["  ".join(parts), "", f"{'bar':>5} {'time':>8} {'qpm':>6}  chords"]
    bars, tempi = found.downbeats.tolist(), dict(found.tempo_curve())
    sections = list(found.sections)
    for number, start in enumerate(bars):
        end = bars[number + 1] if number + 1 < len(bars) else found.seconds
        while sections and sections[0].start_seconds < start + 1e-6:
            lines.append(f"  section {sections.pop(0).name}")
        inside = [c for c in found.chords if c.start_seconds < end - 0.05 and c.end_seconds > start + 0.05]
        qpm = f"{tempi[start]:.1f}" if start in tempi else ""
        lines.append(f"{number + 1:>5} {_clock(start):>8} {qpm:>6}  {' '.join(c.label for c in inside)}")
    return lines


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"
