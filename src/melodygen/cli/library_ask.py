"""``melodygen library``: the questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from melodygen.cli.common import plain
from melodygen.cli.library import Json, Quiet, Where, app, line_of

Top = Annotated[int, typer.Option(min=1, help="How many.")]
EVERYWHERE = 20
"""Tracks that hold a phrase without a difference, from which on it is said to be found everywhere."""


@app.command("similar")
def similar(
    file: Annotated[
        Path, typer.Argument(help="A recording, MIDI or score file; it need not be in the library.")
    ],
    top: Top = 20,
    same_style: Annotated[bool, typer.Option("--same-style", help="Of the same style only.")] = False,
    not_same_artist: Annotated[bool, typer.Option("--not-same-artist", help="By others only.")] = False,
    mood: Annotated[str | None, typer.Option(help="happy, tense, calm or sad only.")] = None,
    kind: Annotated[str | None, typer.Option(help="recording or score only.")] = None,
    where: Where = None,
    json_: Json = False,
) -> None:
    """Tracks that sound like a file, nearest first."""
    from melodygen.services.library import Library

    mood, kind = checked_mood(mood), checked_kind(kind)
    with Library(where) as library:
        found = library.similar(
            file,
            top=top,
            same_style=same_style,
            not_same_artist=not_same_artist,
            mood=mood,
            kind=kind,
        )
    if json_:
        print(
            json.dumps({"tracks": [{"likeness": likeness, **track.to_dict()} for track, likeness in found]})
        )
        return
    for track, likeness in found:
        print(f"{likeness:5.2f}  {line_of(track)}")
    if not found:
        print("no other track of the library fits; take a condition away")


@app.command("find")
def find(
    midi: Annotated[Path | None, typer.Option("--midi", help="A MIDI or score file with the phrase.")] = None,
    notes: Annotated[
        str | None, typer.Option("--notes", help="Note names with octaves: 'E5 D5 C5 D5'.")
    ] = None,
    hum: Annotated[
        Path | None, typer.Option("--hum", help="A recording of one voice: hummed, sung, played.")
    ] = None,
    top: Top = 10,
    where: Where = None,
    json_: Json = False,
) -> None:
    """Find a tune from a few notes: in any key and tempo, from anywhere in it, with wrong and missing notes."""
    from melodygen.errors import UsageError
    from melodygen.services.library import Library
    from melodygen.services.phrases import read_phrase

    if sum(q is not None for q in (midi, notes, hum)) != 1:
        raise UsageError("give the phrase by --midi FILE, --notes 'E5 D5 C5', or --hum FILE: one of them")
    with Library(where) as library:
        phrase = read_phrase(midi, notes, hum)
        found = library.find(phrase, top=max(top, EVERYWHERE + 1))
    exact = sum(hit.cost == 0 for _, hit, _, _ in found)
    found = found[:top]
    if json_:
        rows = [
            {
                "likeness": hit.likeness,
                "cost": hit.cost,
                "start": round(a, 2),
                "end": round(b, 2),
                **track.to_dict(),
            }
            for track, hit, a, b in found
        ]
        print(
            json.dumps(
                {"notes": list(phrase.pitches), "found_everywhere": exact > EVERYWHERE, "tracks": rows}
            )
        )
        return
    if hum is not None:
        print(f"heard {len(phrase.pitches)} notes: {' '.join(map(str, phrase.pitches))}")
    for track, hit, start, end in found:
        print(f"{hit.likeness:5.2f}  {_clock(start)}-{_clock(end)}  {line_of(track)}")
    if exact > EVERYWHERE:
        print(
            f"the phrase is found everywhere (more than {EVERYWHERE} tracks hold it exactly): give more notes"
        )


@app.command("identify")
def identify(
    file: Annotated[Path, typer.Argument(help="A clip or a take.")],
    top: Top = 5,
    plot: Annotated[
        Path | None, typer.Option(help="A PNG of how the first match lies over the file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    where: Where = None,
    json_: Json = False,
) -> None:
    """Which track is this: from where to where, in which key and tempo, how sure."""
    from melodygen.plots.library import plot_match
    from melodygen.services.library import Library
    from melodygen.services.matching import question_chroma
    from melodygen.services.output import check_writable

    check_writable([plot] if plot is not None else [], force, "--plot")
    with Library(where) as library:
        found = library.identify(file, top=top)
        if plot is not None and found:
            track, match = found[0]
            plot_match(
                plot, question_chroma(file), library.chroma(track), match, plain(track.name), overwrite=force
            )
    if json_:
        print(json.dumps({"matches": [{**match.to_dict(), **track.to_dict()} for track, match in found]}))
    elif not found:
        print("no track of the library shares music with it beyond doubt")
    else:
        for track, match in found:
            spans = [(match.question_start, match.question_end), (match.track_start, match.track_end)]
            asked, there = (f"{_clock(a)}-{_clock(b)}" for a, b in spans)
            print(
                f"{match.sentence(plain(track.name))}  ({asked} is its {there}; likeness {match.likeness:.2f})"
            )
            print(f"       {line_of(track)}")
    if not found:
        raise typer.Exit(1)


@app.command("copies")
def copies(
    folder: Annotated[Path | None, typer.Argument(help="Tracks below this folder. Default: all.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="With tracks below this one. Default: the same.")
    ] = None,
    min_bars: Annotated[float, typer.Option(help="Of scores: fewer shared bars are not told.")] = 4.0,
    where: Where = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pairs of tracks that share music: how much, how far apart in key, how much faster. It judges nothing."""
    from melodygen.cli.progress import stage_progress
    from melodygen.services.library import Library

    rows: list[dict[str, Any]] = []
    with Library(where) as library, stage_progress(visible=not quiet) as progress:
        pairs = library.copies(
            folder, against, min_bars=min_bars, progress=lambda done: progress("comparing", done)
        )
        for first, second, match in pairs:
            if json_:
                rows.append({"first": first.to_dict(), "second": second.to_dict(), **match.to_dict()})
            else:
                print(f"{plain(first.name)} {match.sentence(plain(second.name))}", flush=True)
                rights = [f"{plain(t.name)}: {plain(t.tags.rights or t.tags.isrc)}" for t in (first, second)
                          if t.tags.rights or t.tags.isrc]  # fmt: skip
                if rights:
                    print(f"       {'; '.join(rights)}")
                rows.append({})
    if json_:
        print(json.dumps({"pairs": rows}))
    elif not rows:
        print("no two tracks share music beyond doubt")


def checked_mood(mood: str | None) -> str | None:
    """Raises UsageError for a mood that is not known."""
    from melodygen.library.track import MOODS

    return _one_of("--mood", mood, MOODS)


def checked_kind(kind: str | None) -> str | None:
    """Raises UsageError for a kind of track that is not known."""
    from melodygen.library.track import KINDS

    return _one_of("--kind", kind, KINDS)


def _one_of(option: str, value: str | None, known: tuple[str, ...]) -> str | None:
    from melodygen.errors import UsageError

    if value is not None and value not in known:
        raise UsageError(f"{option} {value!r} is not known; known: {', '.join(known)}")
    return value


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"


__all__ = ["Top", "checked_mood"]
