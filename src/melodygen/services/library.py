"""A library of music: add to it, and ask it.

    with melodygen.Library("~/.local/share/melodygen/library", create=True) as library:
        library.add(["~/Music"])
        for track, likeness in library.similar("song.mp3", top=5):
            print(track.name, likeness)

Nets are loaded when a file that the library does not hold has to be heard; a question about a track of the library
loads none.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from melodygen.errors import LibraryError
from melodygen.library import intake as taking
from melodygen.library.address import Address, default_address, open_store
from melodygen.library.history import LISTENER, Play
from melodygen.library.lines import Phrase
from melodygen.library.phrase import PhraseHit, find_phrase
from melodygen.library.store import STEPS, LibraryStore
from melodygen.library.track import Description, Facts, Tags, TrackRecord
from melodygen.music.key import key_name

if TYPE_CHECKING:
    from melodygen.library.match import Match
    from melodygen.library.similar import SoundSpace
    from melodygen.services.describing import Describer
    from melodygen.services.listening import Knobs, Recommendation

PathLike = str | os.PathLike[str]
Added = Callable[[int, int, str], None]
"""Told after each file: how many are done, of how many, and its path."""
Heard = Callable[[str, str], None]
"""Told after each file of the queue: its path, and why it was skipped, or nothing."""


class Library:
    """A library in a folder or in PostgreSQL. Use it in a ``with``, or close it."""

    def __init__(
        self, folder: Address | None = None, *, create: bool = False, classifier: str | None = None,
        describer: Callable[[], Describer] | None = None,
    ) -> None:  # fmt: skip
        """``folder`` may also be an address, ``postgresql://user@host/database``; None is ``$MELODYGEN_LIBRARY``, else
        a folder in the user's data. ``describer`` gives nets that are loaded already. Raises LibraryError when there is
        no library and ``create`` is false.
        """
        self.store: LibraryStore = open_store(default_address() if folder is None else folder, create)
        self._classifier = classifier
        self._load_describer = describer
        self._describer: Describer | None = None

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    @property
    def describer(self) -> Describer:
        """Loads the nets."""
        if self._describer is None:
            from melodygen.services.describing import Describer

            load = self._load_describer
            self._describer = Describer.load(self._classifier) if load is None else load()
        return self._describer

    # filling

    def add(
        self, paths: Sequence[PathLike], *, workers: int | None = None, re_embed: bool = False,
        queue_only: bool = False, progress: Added | None = None,
    ) -> taking.Intake:  # fmt: skip
        """Add files, and folders at any depth; what is there already is passed over, what failed is named.

        A run that was stopped is gone on with by the next: each track is in whole or not at all. ``queue_only`` leaves
        the hearing to workers (:meth:`work`). Raises LibraryError when another process writes, or the library is of
        another embedder and ``re_embed`` is false; UsageError for ``queue_only`` in a folder.
        """
        from melodygen.services.adding import Filling, add_files

        roots = [Path(p).expanduser() for p in paths]
        with self.store.writing():
            return add_files(self, roots, Filling(workers, re_embed, queue_only, self._classifier), progress)

    def work(self, *, until_empty: bool = False, progress: Heard | None = None) -> int:
        """Hear what others have queued, until stopped, or until nothing is left; the number of tracks put in.

        Raises LibraryError when the library is of another embedder, UsageError for a library in a folder.
        """
        from melodygen.services.queueing import server_of, work

        return work(server_of(self.store), lambda: self.describer, until_empty, progress)

    def remove(self, paths: Sequence[PathLike]) -> Forgotten:
        """Forget files, and tracks that lie nowhere else. No file is touched."""
        with self.store.writing():
            held = self.store.catalog.files()
            wanted = [str(Path(p).expanduser().absolute()) for p in paths]
            inside = tuple(start for w in wanted for start in (w.rstrip("/") + "/", f"{w}#"))
            chosen = [h for h in held if h in wanted or h.startswith(inside)]
            gone = self.store.remove(chosen)
            self.store.compact()
            return Forgotten(len(chosen), gone)

    # asking

    def __len__(self) -> int:
        return self.store.catalog.num_tracks()

    def tracks(self) -> list[TrackRecord]:
        """All tracks, in the order they were added."""
        return list(self.store.tracks().values())

    def track(self, path: PathLike) -> TrackRecord:
        """Raises LibraryError when the library does not hold it."""
        found = self.store.track_at(Path(path).expanduser())
        if found is None:
            raise LibraryError(f"{path} is not in the library; add it with: melodygen library add {path}")
        return found

    def stats(self) -> dict[str, Any]:
        """Counts of kinds, styles, moods and keys, hours, bytes on disk; and where it lies, without a password."""
        tracks = self.tracks()

        def counted(labels: Iterable[str]) -> dict[str, int]:
            return dict(Counter(labels).most_common())

        tempi = [t.facts.qpm for t in tracks if t.facts.qpm is not None]
        return {
            "library": self.store.name,
            "tracks": len(tracks),
            "hours": round(sum(t.facts.duration_seconds for t in tracks) / 3600, 2),
            "bytes": self.store.num_bytes(),
            "kinds": counted(t.facts.kind for t in tracks),
            "styles": counted(t.facts.style for t in tracks),
            "moods": counted(t.facts.mood for t in tracks),
            "keys": counted("" if t.facts.key is None else key_name(t.facts.key) for t in tracks),
            "median_qpm": round(float(np.median(tempi)), 1) if tempi else None,
            "embedder": self.store.embedder_id,
        }

    def sound_space(self) -> SoundSpace:
        """Raises LibraryError for an empty library."""
        space = self.store.space()
        if not len(space):
            raise LibraryError(
                f"{self.store.name}: the library is empty; fill it with: melodygen library add FOLDER"
            )
        return space

    def similar(
        self, path: PathLike, *, top: int = 20, same_style: bool = False, not_same_artist: bool = False,
        mood: str | None = None, kind: str | None = None,
    ) -> list[tuple[TrackRecord, float]]:  # fmt: skip
        """Tracks that sound like a file, nearest first, with their cosine. The file need not be in the library."""
        space = self.sound_space()
        own, facts, tags, vector = self._question(Path(path).expanduser(), space)
        records: dict[int, TrackRecord] = {}

        def fits(other: TrackRecord) -> bool:
            return (
                other.track_id != own
                and not other.facts.not_music
                and (not same_style or other.facts.style == facts.style)
                and (
                    not not_same_artist or not tags.artist or other.tags.artist.lower() != tags.artist.lower()
                )
                and (mood is None or other.facts.mood == mood)
                and (kind is None or other.facts.kind == kind)
            )

        def allowed(track_ids: list[int]) -> set[int]:
            records.update(self.store.tracks(i for i in track_ids if i not in records))
            return {i for i in track_ids if i in records and fits(records[i])}

        return [(records[n.track_id], n.likeness) for n in space.neighbours(vector, top, allowed)]

    def _question(self, path: Path, space: SoundSpace) -> tuple[int | None, Facts, Tags, NDArray[np.float32]]:
        """(its track if the library holds it, facts, tags, centred vector) of a file."""
        held = self.store.track_at(path)
        if held is not None:
            return held.track_id, held.facts, held.tags, space.vectors([held.track_id])[0]
        found = self._described(path)
        return None, found.facts, found.tags, space.centred(found.vector[None, :])[0]

    def _described(self, path: Path) -> Description:
        """A file that the library does not hold. Raises LibraryError when its vectors would be of another embedder."""
        describer = self.describer
        self.store.sound(describer.embedder_id)
        return describer.describe(path)

    def find(self, phrase: Phrase, *, top: int = 20) -> list[tuple[TrackRecord, PhraseHit, float, float]]:
        """Tracks that hold a phrase: (track, hit, from which second, to which), likeliest first."""
        hits = find_phrase(phrase, self.store.rows(STEPS), top)
        ids = [hit.track_id for hit in hits]
        records, notes = self.store.tracks(ids), self.store.notes(ids)
        found = []
        for hit in hits:
            line = notes[hit.track_id]["second"]
            first, last = (line[min(max(row, 0), len(line) - 1)] for row in (hit.first_row, hit.last_row))
            found.append((records[hit.track_id], hit, float(first), float(last)))
        return found

    def identify(self, path: PathLike, *, top: int = 5) -> list[tuple[TrackRecord, Match]]:
        """Which tracks share music with a file, strongest first; empty when none does beyond doubt."""
        from melodygen.services.matching import identify_file

        if not len(self):
            raise LibraryError(
                f"{self.store.name}: the library is empty; fill it with: melodygen library add FOLDER"
            )
        matches = identify_file(self.store, Path(path).expanduser(), top)
        records = self.store.tracks([m.track_id for m in matches])
        return [(records[m.track_id], m) for m in matches]

    def chroma(self, track: TrackRecord) -> NDArray[np.float32]:
        """(T, 24) of a track, as it was stored; empty for one of less than three seconds."""
        from melodygen.library.chroma import NUM_BINS, unpacked

        held = self.store.chroma([track.track_id]).get(track.track_id)
        return np.zeros((0, NUM_BINS), np.float32) if held is None else unpacked(held)

    def copies(
        self, folder: PathLike | None = None, against: PathLike | None = None, *, min_bars: float = 4.0,
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[tuple[TrackRecord, TrackRecord, Match]]:  # fmt: skip
        """Pairs of tracks that share music, of those below ``folder`` with those below ``against``."""
        from melodygen.services.matching import shared_pairs

        def below(root: PathLike | None) -> list[int]:
            if root is None:
                return list(self.store.tracks())
            start = str(Path(root).expanduser().absolute()).rstrip("/")
            held = self.store.catalog.files().items()
            chosen = {stamp.track_id for path, stamp in held if path == start or path.startswith(start + "/")}
            if not chosen:
                raise LibraryError(f"{root}: no track of the library lies there")
            return sorted(chosen)

        mine, others = below(folder), below(against if against is not None else folder)
        records = self.store.tracks()
        for first, second, match in shared_pairs(
            self.store, np.array(mine), np.array(others), min_bars, progress
        ):
            yield records[first], records[second], match

    # listeners

    def play(self, path: PathLike, played_at: float, user: str = LISTENER) -> None:
        """Remember that a track was played, at so many seconds since 1970."""
        from melodygen.services.listening import record_plays

        record_plays(self.store, [Play(user, self.track(path).track_id, played_at)])

    def like(self, path: PathLike, user: str = LISTENER) -> None:
        """Remember that a track is liked."""
        from melodygen.services.listening import record_like

        record_like(self.store, self.track(path).track_id, user)

    def recommend(
        self, *, history: PathLike | None = None, likes: Sequence[PathLike] = (), user: str | None = None,
        top: int = 30, knobs: Knobs | None = None, remember: bool = False, now: float | None = None,
    ) -> Recommendations:  # fmt: skip
        """What a listener may want to hear next: from the plays and likes the library remembers and those given.

        ``history`` is a file of plays; where it names several listeners, ``user`` says whose taste counts, and the
        others are what is learned from. ``now``: seconds since 1970, for the age of plays. Raises LibraryError when
        nothing is known of the listener.
        """
        from melodygen.services import listening

        moment = time.time() if now is None else now
        plays: list[Play] = []
        unknown = 0
        if history is not None:
            plays, unknown = listening.import_history(self.store, Path(history).expanduser(), moment)
        names = {play.listener for play in plays}
        who = user or (next(iter(names)) if len(names) == 1 else LISTENER)
        liked = [self.track(path).track_id for path in likes]
        if remember:
            listening.record_plays(self.store, plays)
            for track_id in liked:
                listening.record_like(self.store, track_id, who)
        found = listening.recommend_tracks(
            self.store, plays, liked, listener=who, top=top, knobs=knobs or listening.Knobs(), now=moment
        )
        return Recommendations(tuple(found), len(plays), unknown)

    def playlist(
        self, start: PathLike, end: PathLike, *, length: int | None = None, name: str | None = None
    ) -> list[TrackRecord]:
        """From one track to another in small steps, both included; ``name`` keeps it in the library."""
        from melodygen.services import playlists

        tracks = playlists.playlist(self.store, self.track(start), self.track(end), length)
        if name is not None:
            playlists.save_playlist(self.store, name, tracks)
        return tracks


@dataclass(frozen=True)
class Forgotten:
    """``files`` are no longer listed; ``tracks`` lay nowhere else and are gone with them."""

    files: int
    tracks: int


@dataclass(frozen=True)
class Recommendations:
    """``known`` listens were of tracks of the library, ``unknown`` were not."""

    tracks: tuple[Recommendation, ...]
    known: int
    unknown: int


__all__ = ["Forgotten", "Library", "Recommendations"]
