"""Music for tests: hypothesis strategies for pieces on the grid, scores and headers, and small fixed examples."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from slow_grid import canonical_notes, end_with_notes

from melodygen.music.score import Chord, KeySignature, Score, Tempo, TimeSignature, Track, note_array
from melodygen.tokens.codec import Header
from melodygen.tokens.grid import GRID_ROLES, GridBar, GridNote, Piece, meter_positions
from melodygen.tokens.vocabulary import (
    CHORD_QUALITY_NAMES,
    DRUM_VELOCITIES,
    DRUMS,
    DURATIONS,
    METERS,
    SEGMENT_ROLES,
    VELOCITIES,
)

keys = st.one_of(st.none(), st.tuples(st.integers(0, 11), st.sampled_from(("major", "minor"))))


@st.composite
def parts(draw: st.DrawFn, role: str, size: int) -> tuple[GridNote, ...]:
    position = st.integers(0, size - 1)
    if role == "drums":
        note = st.tuples(
            position, st.integers(0, len(DRUMS) - 1), st.integers(0, len(DRUM_VELOCITIES) - 1), st.just(0)
        )
    else:
        note = st.tuples(
            position,
            st.integers(0, len(VELOCITIES) - 1),
            st.integers(0, len(DURATIONS) - 1),
            st.integers(0, 127),
        )
    return canonical_notes(draw(st.lists(note, max_size=12)), role)


@st.composite
def bars(draw: st.DrawFn, meter: tuple[int, int], roles: tuple[str, ...]) -> GridBar:
    size = meter_positions(meter)
    filled = {r: p for r in roles if (p := draw(parts(r, size)))}
    places = sorted(draw(st.sets(st.integers(0, size - 1), max_size=3)))
    qualities = st.integers(0, len(CHORD_QUALITY_NAMES) - 1)
    chord = st.one_of(st.just((-1, 0)), st.tuples(st.integers(0, 11), qualities))
    return GridBar(meter, filled, tuple((at, *draw(chord)) for at in places))


@st.composite
def pieces(draw: st.DrawFn, most_bars: int = 6) -> Piece:
    """Any piece tokens can say: meter changes, silent bars, notes that ring beyond the end."""
    meters = st.sampled_from(METERS)
    home = draw(meters)
    changes = draw(st.lists(st.one_of(st.just(home), st.just(home), meters), min_size=1, max_size=most_bars))
    roles = tuple(draw(st.lists(st.sampled_from(GRID_ROLES), min_size=1, unique=True)))
    made = [draw(bars(m, roles)) for m in changes]
    for source in draw(st.lists(st.integers(0, len(made) - 1), max_size=3)):
        made.insert(draw(st.integers(source, len(made))), made[source])  # bars come back
    return Piece(tuple(made), 120.0, draw(keys))


@st.composite
def ended_pieces(draw: st.DrawFn) -> Piece:
    """A piece with notes that ends where its last note does, its key known: one that a Score can say."""
    piece = draw(pieces())
    if not piece.num_notes():
        first = replace(piece.bars[0], parts={"melody": ((0, 2, 5, 60),)})
        piece = replace(piece, bars=(first, *piece.bars[1:]))
    return replace(piece, bars=end_with_notes(piece.bars), key=piece.key or (0, "major"))


ToEncode = tuple[Piece, Header, tuple[int, int] | None]
"""A piece, a header for it, and None or the bars to fill: the first and their number."""


@st.composite
def to_encode(draw: st.DrawFn) -> ToEncode:
    """All that a piece can be encoded from."""
    piece = draw(pieces())
    header = draw(headers(piece))
    total = len(piece.bars)
    first = draw(st.integers(0, total - 1))
    return piece, header, draw(st.one_of(st.none(), st.tuples(st.just(first), st.integers(1, total - first))))


@st.composite
def headers(draw: st.DrawFn, piece: Piece | None = None) -> Header:
    """A header in which every role of ``piece`` has its place, in any order."""
    order = draw(st.permutations(SEGMENT_ROLES))
    needed = set(SEGMENT_ROLES) if piece is None else {"chordline", *piece.roles}
    meters = [b.meter for b in piece.bars[:1]] if piece else []
    return Header(
        draw(st.one_of(st.none(), st.integers(0, 47))),
        draw(st.one_of(st.none(), st.sampled_from([*meters, *METERS]))),
        draw(st.one_of(st.none(), st.integers(0, 23))),
        piece.key if piece else draw(keys),
        draw(st.one_of(st.none(), st.integers(0, 7))),
        draw(st.booleans()),
        draw(st.booleans()),
        tuple(r for r in order if r in needed or draw(st.booleans())),
    )


@st.composite
def rough_scores(draw: st.DrawFn) -> Score:
    """A score as files hold it: off the grid, meters that change in mid-bar, overlaps, several tracks a role."""
    ticks_per_quarter = draw(st.sampled_from((24, 96, 120, 220, 480, 960)))
    ticks = st.integers(0, 14 * ticks_per_quarter)
    note = st.tuples(ticks, st.integers(1, 6 * ticks_per_quarter), st.integers(0, 127), st.integers(1, 127))
    tracks = []
    for _ in range(draw(st.integers(1, 3))):
        drums = draw(st.booleans())
        role = "drums" if drums else draw(st.sampled_from(("melody", "chords", "bass", "other")))
        rows = draw(st.lists(note, max_size=10))
        tracks.append(Track(note_array(rows), 0, drums, role, role))
    tracks.append(Track(note_array([draw(note)]), 0, False, "melody", "melody"))
    signatures = [
        TimeSignature(tick, *meter)
        for tick, meter in draw(st.dictionaries(ticks, st.sampled_from(METERS), max_size=4)).items()
    ]
    labels = st.sampled_from(("C:maj", "N", "Bb:min7", "F#:hdim7", "not a chord"))
    chords = [Chord(tick, label) for tick, label in draw(st.lists(st.tuples(ticks, labels), max_size=5))]
    return Score(tuple(tracks), (Tempo(0, 90.0),), tuple(signatures), (), tuple(chords), ticks_per_quarter)


def tune(
    num_bars: int = 4, meter: tuple[int, int] = (4, 4), roles: tuple[str, ...] = ("melody", "bass")
) -> Score:
    """A plain fixed piece: quarters in the melody, half bars in the bass, block chords, a backbeat."""
    quarter = 480
    size = round(meter[0] * 4 / meter[1] * quarter)
    scale = (60, 62, 64, 65, 67, 69, 71, 72)
    rows: dict[str, list[tuple[int, int, int, int]]] = {r: [] for r in roles}
    chords = []
    for bar in range(num_bars):
        start = bar * size
        chords.append(Chord(start, ("C:maj", "A:min7", "D:min7", "G:7")[bar % 4]))
        for i, at in enumerate(range(0, size, quarter)):
            length = min(quarter, size - at)
            if "melody" in rows:
                rows["melody"].append((start + at, length, scale[(bar * 3 + i) % 8], 90))
            if "drums" in rows:
                rows["drums"].append((start + at, 40, 36 if i % 2 == 0 else 38, 100))
            if "chords" in rows and i == 0:
                rows["chords"] += [(start, size, p, 74) for p in (52, 55, 60)]
            if "bass" in rows and i % 2 == 0:
                rows["bass"].append((start + at, min(2 * quarter, size - at), 36 + bar % 4, 90))
    tracks = tuple(Track(note_array(rows[r]), 0, r == "drums", r, r) for r in roles)
    signature = (TimeSignature(0, *meter),)
    return Score(tracks, (Tempo(0, 100.0),), signature, (KeySignature(0, 0),), tuple(chords), 480, "tune")
