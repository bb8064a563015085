"""How large a library may grow, how fast it is filled, and what a kill leaves.

    python benchmarks/library_scale.py scale  --midi FOLDER [--tracks 100000]
    python benchmarks/library_scale.py add    --music FOLDER [--kills 20]
    python benchmarks/library_scale.py graph  --vectors FILE.npy [--tracks 100000]
    python benchmarks/library_scale.py server --url postgresql://… [--tracks 5000]

CPU seconds are of this process: what a load on the machine cannot falsify. What is found is measured by ``library.py``.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from melodygen.errors import LibraryError
from melodygen.library.chroma import chroma_of_score, packed, patches_of, unpacked
from melodygen.library.rows import Rows
from melodygen.library.sound_match import candidates, match_sound
from melodygen.services.library import Library


def cpu() -> float:
    return time.process_time()


def scale(arguments: argparse.Namespace) -> None:
    """A library of so many simulated tracks on disk: 20 s references of scores, mixed two by two to be enough."""
    from melodygen.io.midi import read_midi
    from melodygen.library.embedding import DIMENSION
    from melodygen.library.folder import FolderStore
    from melodygen.library.similar import SoundSpace
    from melodygen.library.store import PATCHES, SOUND

    rng = np.random.default_rng(4)
    files = sorted(p for p in arguments.midi.rglob("*.mid") if "drums" not in p.parts)
    excerpts: list[np.ndarray] = []
    for i in rng.permutation(len(files))[: arguments.pieces]:
        try:
            whole = chroma_of_score(read_midi(files[i]))
        except Exception:
            continue
        excerpts += [whole[a : a + 156] for a in range(0, len(whole) - 155, 156)][:20]
    print(f"{len(excerpts)} excerpts of 20 s")
    with tempfile.TemporaryDirectory() as folder, FolderStore(Path(folder), create=True) as store:
        store.set_embedder("simulated", DIMENSION)
        fill(store, excerpts, arguments.tracks, rng)
        print(
            f"{store.catalog.num_tracks()} tracks, {store.num_bytes() / arguments.tracks:.0f} bytes a track"
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for name, work in {
            "similar": lambda: similar_once(SoundSpace(store.rows(f"{SOUND}simulated")), rng),
            "identify": lambda: identify_once(store, store.rows(PATCHES), excerpts, rng),
        }.items():
            times = []
            for _ in range(arguments.queries):
                began, used = time.monotonic(), cpu()
                work()
                times.append((time.monotonic() - began, cpu() - used))
            wall, used = np.median(np.array(times), axis=0)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"| {name} | {wall:.2f} s | CPU {used:.2f} s | peak memory {peak:.0f} MiB (before {before:.0f}) |"
            )
        print(f"identified at once: {identify_once.right} of {identify_once.asked}")  # type: ignore[attr-defined]


def fill(store: Any, excerpts: list[np.ndarray], count: int, rng: np.random.Generator) -> None:
    """Straight into the tables, a transaction for all: only what is asked is simulated."""
    import zlib

    from melodygen.library.embedding import DIMENSION
    from melodygen.library.folder import Span
    from melodygen.library.store import PATCHES, SOUND
    from melodygen.library.track import Facts, Tags

    with store.catalog.transaction():
        for start in range(0, count, 2_000):
            chromas = []
            for number in range(start, min(start + 2_000, count)):
                one = excerpts[number % len(excerpts)]
                if number >= len(excerpts):
                    one = 0.6 * one + 0.4 * np.roll(
                        excerpts[int(rng.integers(len(excerpts)))], int(rng.integers(24)), axis=1
                    )
                chromas.append(one)
            rows = [patches_of(c) for c in chromas]
            at = store._next_row(PATCHES)
            store._file(PATCHES).write(at, np.concatenate(rows))
            vectors = rng.standard_normal((len(chromas), DIMENSION)).astype(np.float32)
            store._file(f"{SOUND}simulated").write(
                start, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            )
            for k, (chroma, patches) in enumerate(zip(chromas, rows, strict=True)):
                track = store.catalog.put_track(f"{start + k:032x}", Facts("score", 20.0), Tags())
                store._put_span(track, Span(PATCHES, at, len(patches)))
                store._put_span(track, Span(f"{SOUND}simulated", start + k, 1))
                store.catalog.put_blob(track, "chroma", zlib.compress(packed(chroma).tobytes(), 1))
                at += len(patches)


def similar_once(space: Any, rng: np.random.Generator) -> None:
    space.neighbours(space.vectors([int(rng.choice(space.track_ids))])[0], 20)


def identify_once(store: Any, rows: Rows, excerpts: list[np.ndarray], rng: np.random.Generator) -> None:
    """8 s of one of the references, 3 semitones up and 7 % slower."""
    from melodygen.library.chroma import at_tempo

    number = int(rng.integers(len(excerpts)))
    asked = at_tempo(np.roll(excerpts[number][40:104], 6, axis=1), 1.07)
    near = candidates(asked, rows)
    found = match_sound(asked, {i: unpacked(c) for i, c in store.chroma(near).items()})
    identify_once.asked = getattr(identify_once, "asked", 0) + 1  # type: ignore[attr-defined]
    right = bool(found) and found[0].track_id - 1 == number
    identify_once.right = getattr(identify_once, "right", 0) + right  # type: ignore[attr-defined]


def add(arguments: argparse.Namespace) -> None:
    """What a kill at any moment of ``library add`` leaves, and its speed. The nets are loaded once and forked."""
    from melodygen.library.intake import files_of
    from melodygen.services.describing import Describer

    rng = np.random.default_rng(6)
    describer, number = Describer.load(), len(files_of([arguments.music]))
    killed, lost = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        before: set[str] = set()
        for _ in range(arguments.kills):
            process = forked_add(describer, arguments.music, folder)
            until = time.monotonic() + 120
            while len(hashes_in(folder)) <= len(before):
                assert time.monotonic() < until, "nothing was added: give more files, or fewer kills"
                time.sleep(0.05)
            time.sleep(float(rng.uniform(0, 1.5)))
            os.kill(process, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(process, 0)[1])
            with Library(folder) as library:
                check(library)
            lost += len(before - hashes_in(folder))
            before = hashes_in(folder)
        begun, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        os.waitpid(forked_add(describer, arguments.music, folder), 0)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = used.ru_utime + used.ru_stime - begun.ru_utime - begun.ru_stime
        wall = time.monotonic() - wall
        with Library(folder) as library:
            check(library)
            count, size = len(library), library.store.num_bytes()
        if arguments.keep is not None:
            shutil.copytree(folder, arguments.keep)
    added = count - len(before)
    print(
        f"killed {killed} of {arguments.kills} times; lost {lost}; in the end {count} tracks of {number} files"
    )
    rate = added / spent * 60
    print(f"{size / max(count, 1):.0f} bytes a track; the last run added {added}: {rate:.0f} a CPU minute")
    print(
        f"({spent / max(added, 1):.2f} CPU s a track, {wall / max(added, 1):.2f} s of the clock, one process)"
    )


def forked_add(describer: Any, music: Path, folder: str) -> int:
    """The process that adds."""
    process = os.fork()
    if process == 0:
        with Library(folder, create=True) as library:
            library._describer = describer
            library.add([music], workers=1)
        os._exit(0)
    return process


def hashes_in(folder: str) -> set[str]:
    if not (Path(folder) / "catalog.sqlite").exists():
        return set()
    try:
        with Library(folder) as library:
            return {track.content_hash for track in library.tracks()}
    except LibraryError:  # it is being made
        return set()


def check(library: Any) -> None:
    """Every track has its rows and blobs once, and every file its track."""
    from melodygen.library.store import PATCHES

    tracks = library.store.tracks()
    sound = library.store.sound() if library.store.embedder_id else None
    assert sound is None or sorted(sound.track.tolist()) == sorted(tracks)
    patches = library.store.rows(PATCHES).track.tolist()
    assert len(set(patches)) == len(patches) and set(patches) <= set(tracks)
    assert all(track.paths for track in tracks.values())
    hashes = [track.content_hash for track in tracks.values()]
    assert len(set(hashes)) == len(hashes)


def graph(arguments: argparse.Namespace) -> None:
    """Neighbours by usearch beside a look at every vector, on vectors drawn around those of real recordings."""
    from melodygen.library.approximate import VectorGraph
    from melodygen.library.similar import SoundSpace

    rng = np.random.default_rng(8)
    real = np.load(arguments.vectors)
    count = arguments.tracks
    pairs, mix = rng.integers(len(real), size=(2, arguments.tracks)), rng.random((arguments.tracks, 1))
    at = np.arange(count)
    rows = Rows(np.empty((count, real.shape[1]), np.float16), at, np.ones(count, int), at)
    for start in range(0, arguments.tracks, 20_000):
        part = slice(start, start + 20_000)
        one = mix[part] * real[pairs[0, part]] + (1 - mix[part]) * real[pairs[1, part]]
        one += rng.standard_normal(one.shape) * 0.5 * real.std(axis=0)
        rows.matrix[part] = one / np.linalg.norm(one, axis=1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        begun = cpu()
        VectorGraph(Path(folder), "e").update(rows)
        size = sum(p.stat().st_size for p in Path(folder).iterdir())
        print(f"{count} vectors: made in {cpu() - begun:.0f} CPU s, {size / count:.0f} bytes a track")
        near, exact = VectorGraph(Path(folder), "e").space(rows), SoundSpace(rows)
        assert near is not None
        right, spent = 0, {"graph": 0.0, "exact": 0.0}
        asked = exact.vectors(rng.integers(arguments.tracks, size=arguments.queries).tolist())
        for question in asked:
            begun = cpu()
            found = near.nearest(question, 10)[0]
            middle = cpu()
            wanted = exact.nearest(question, 10)[0]
            spent["graph"] += middle - begun
            spent["exact"] += cpu() - middle
            right += len(set(found.tolist()) & set(wanted.tolist()))
        each = {name: round(1000 * total / len(asked), 2) for name, total in spent.items()}
        print(f"recall@10 {right / 10 / len(asked):.3f}; CPU ms a question {each}")


def server(arguments: argparse.Namespace) -> None:
    """A library in PostgreSQL: so many simulated tracks, put in one by one, and asked."""
    from melodygen.library.server import ServerStore
    from melodygen.library.store import PATCHES
    from melodygen.library.track import Description, Facts, Tags

    rng = np.random.default_rng(9)
    with tempfile.TemporaryDirectory() as cache, ServerStore(arguments.url, True, Path(cache)) as store:
        store.set_embedder("simulated", 644)
        begun = time.monotonic()
        for number in range(arguments.tracks):
            chroma = rng.integers(0, 255, (156, 24)).astype(np.uint8)
            vector = rng.standard_normal(644).astype(np.float32)
            store.put(
                f"/{number}", (1, 1), f"{number:032x}",
                Description(Facts("recording", 20.0), Tags(), vector, patches_of(unpacked(chroma)), chroma),
            )  # fmt: skip
        put = (time.monotonic() - begun) / arguments.tracks
        size = store.num_bytes() / arguments.tracks
        print(f"{arguments.tracks} tracks, {1000 * put:.1f} ms to put one in, {size:.0f} bytes a track")
        for name, work in {
            "similar (on the server)": lambda: store.space().nearest(vector, 20),
            "patches, the first time": lambda: store.rows(PATCHES),
            "patches, again": lambda: store.rows(PATCHES),
            "all vectors, the first time": lambda: store.space().all_vectors(),
        }.items():
            begun = time.monotonic()
            work()
            print(f"| {name} | {time.monotonic() - begun:.2f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    work = {"scale": scale, "add": add, "graph": graph, "server": server}
    parser.add_argument("what", choices=list(work))
    parser.add_argument("--music", type=Path)
    parser.add_argument("--midi", type=Path)
    parser.add_argument("--url", help="server: postgresql://…, an empty database")
    parser.add_argument(
        "--vectors", type=Path, help="graph: .npy, which 'library.py similar --vectors' writes"
    )
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--pieces", type=int, default=2_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--keep", type=Path, help="add: leave the library in this folder")
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    work[arguments.what](arguments)


if __name__ == "__main__":
    main()
