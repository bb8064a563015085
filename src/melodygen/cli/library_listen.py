"""``melodygen library``: what to hear next, playlists, clusters, and a map."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from melodygen.cli.common import plain
from melodygen.cli.library import Json, Quiet, Where, app, line_of
from melodygen.cli.library_ask import Top, checked_mood

Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
User = Annotated[
    str | None, typer.Option("--user", help="Whose plays. Default: me, or whom the history names.")
]
Seed = Annotated[int, typer.Option(help="Of the clusters' beginnings.")]


@app.command("recommend")
def recommend(
    history: Annotated[
        Path | None, typer.Option(help="Plays: CSV (track,time), a last.fm or ListenBrainz export.")
    ] = None,
    user: User = None,
    like: Annotated[
        list[Path] | None, typer.Option("--like", help="A liked track, in place of a history or beside it.")
    ] = None,
    top: Top = 30,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="0 the best in a row, 1 as different as can be.")
    ] = 0.2,
    novelty: Annotated[
        float, typer.Option(min=0, max=1, help="How much what many play is pushed back.")
    ] = 0.0,
    half_life: Annotated[float, typer.Option(min=0.1, help="Days after which a play counts half.")] = 30.0,
    mood: Annotated[str | None, typer.Option(help="happy, tense, calm or sad only.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Tracks that were heard may come.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Say what each is like.")] = False,
    remember: Annotated[
        bool, typer.Option("--remember", help="Keep the plays and likes in the library.")
    ] = False,
    where: Where = None,
    json_: Json = False,
) -> None:
    """Propose tracks that were not heard yet, from what one played and liked, and what others played."""
    from melodygen.services.library import Library
    from melodygen.services.listening import Knobs, recommendation_dict

    knobs = Knobs(diversity, novelty, checked_mood(mood), again, half_life)
    with Library(where) as library:
        found = library.recommend(
            history=history,
            likes=like or [],
            user=user,
            top=top,
            knobs=knobs,
            remember=remember,
            now=time.time(),
        )
    if found.unknown:
        print(
            f"{found.unknown} of {found.unknown + found.known} listens are of tracks that the library has not",
            file=sys.stderr,
        )
    if json_:
        rows = [recommendation_dict(r) for r in found.tracks]
        print(json.dumps({"tracks": rows, "listens": found.known, "unknown_listens": found.unknown}))
        return
    for r in found.tracks:
        print(f"{r.score:5.2f}  {line_of(r.track)}")
        if why:
            print(f"       {plain(r.why)}")
    if not found.tracks:
        print("no track is left to propose; take a condition away, or allow --again")


@app.command("playlist")
def playlist(
    start: Annotated[Path, typer.Option("--from", help="The first track, of the library.")],
    end: Annotated[Path, typer.Option("--to", help="The last track, of the library.")],
    length: Annotated[
        int | None, typer.Option(min=2, help="How many tracks. Default: as many as the way needs.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also an M3U8 file.")] = None,
    name: Annotated[str | None, typer.Option(help="Also keep it in the library under this name.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Also a PNG of the way through the library.")] = None,
    where: Where = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """From one track to another in small steps."""
    from melodygen.atomic import atomic_path
    from melodygen.plots.library import plot_path
    from melodygen.services.library import Library
    from melodygen.services.output import check_writable
    from melodygen.services.playlists import m3u

    check_writable([path for path in (out, plot) if path is not None], force)
    with Library(where) as library:
        tracks = library.playlist(start, end, length=length, name=name)
        if plot is not None:
            space = library.sound_space()
            row_of = {track_id: row for row, track_id in enumerate(space.track_ids.tolist())}
            rows, names = [row_of[t.track_id] for t in tracks], [plain(t.name) for t in tracks]
            plot_path(plot, space.all_vectors(), rows, names, overwrite=force)
    if out is not None:
        with atomic_path(out, force) as temporary:
            temporary.write_text(m3u(tracks), encoding="utf-8")
    if json_:
        print(json.dumps({"tracks": [track.to_dict() for track in tracks]}))
        return
    for number, track in enumerate(tracks, 1):
        print(f"{number:3}  {line_of(track)}")


@app.command("cluster")
def cluster(
    count: Annotated[
        int | None, typer.Option("--clusters", min=2, help="How many. Default: by the number of tracks.")
    ] = None,
    show: Annotated[int, typer.Option(min=0, help="Tracks to name of each, the most typical first.")] = 3,
    seed: Seed = 0,
    where: Where = None,
    json_: Json = False,
) -> None:
    """Sort the tracks into groups that sound alike, with words for each."""
    from melodygen.services.collection import clusters
    from melodygen.services.library import Library

    with Library(where) as library:
        found = clusters(library.store, count, seed)
    if json_:
        print(json.dumps({"clusters": [c.to_dict() for c in found]}))
        return
    for number, group in enumerate(found, 1):
        print(f"{number}. {len(group.tracks)} tracks: {group.words}")
        for track in group.tracks[:show]:
            print(f"     {line_of(track)}")


@app.command("map")
def map_(
    out: Annotated[Path, typer.Option("--out", "-o", help="map.html (hover shows names) or map.png.")] = Path(
        "map.html"
    ),
    count: Annotated[int | None, typer.Option("--clusters", min=2, help="Default: 8.")] = None,
    seed: Seed = 0,
    where: Where = None,
    force: Force = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lay the library out in two dimensions: what sounds alike lies side by side. Needs the extra 'eval'."""
    from melodygen.errors import UsageError
    from melodygen.evaluation.collection_map import write_map
    from melodygen.services.collection import collection_map
    from melodygen.services.library import Library
    from melodygen.services.output import check_writable

    if out.suffix.lower() not in (".html", ".png"):
        raise UsageError(f"--out {out}: give a name that ends in .html or .png")
    check_writable([out], force)
    with Library(where) as library:
        layout = collection_map(library.store, count, seed)
    write_map(out, layout, "Library", force)
    if json_:
        print(json.dumps(layout.to_dict() | {"out": str(out)}))
    elif not quiet:
        print(f"{out}: {len(layout.paths)} tracks, {layout.num_clusters} clusters")


__all__ = ["app"]
