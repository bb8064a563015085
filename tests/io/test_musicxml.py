"""MusicXML keeps the schema, reads well, and comes back with the notes, drums and symbols that were written."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from musicxml_schema import check_schema
from pieces import tune

from melodygen.errors import OutputExistsError, ScoreError
from melodygen.io.musicxml import musicxml_bytes, write_musicxml
from melodygen.io.musicxml_reader import read_musicxml
from melodygen.io.notation import read_notation
from melodygen.music.chord_symbol import QUALITIES
from melodygen.music.score import (
    Chord,
    KeySignature,
    Score,
    Section,
    Tempo,
    TimeSignature,
    Track,
    note_array,
)

ROLES = ("melody", "chords", "bass", "drums")
STEPS = "FCGDAEB"


def back(score: Score) -> Score:
    return read_musicxml(musicxml_bytes(score), "x.musicxml", "x")


def rows_of(score: Score) -> list[list[tuple[int, int]]]:
    """(onset, pitch) of each track."""
    return [sorted((n.onset_tick * 480 // score.ticks_per_quarter, n.pitch) for n in t) for t in score.tracks]


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (5, 4), (2, 2)])
def test_notes_drums_symbols_and_marks_come_back(meter: tuple[int, int]) -> None:
    score = tune(5, meter, ROLES)
    data = musicxml_bytes(score)
    check_schema(data)
    again = back(score)
    assert rows_of(again) == rows_of(score)
    assert [(t.name, t.program, t.is_drum) for t in again.tracks] == [
        (t.name, t.program, t.is_drum) for t in score.tracks
    ]
    assert [[n.velocity for n in t] for t in again.tracks] == [[n.velocity for n in t] for t in score.tracks]
    assert again.chords == score.chords
    assert (again.tempos, again.time_signatures) == (score.tempos, score.time_signatures)
    assert again.key_signatures == score.key_signatures


@pytest.mark.parametrize("names", [("Section A", "Section b"), ("Verse 1", "Coda & <end>")])
def test_sections_are_rehearsal_marks_and_come_back(names: tuple[str, str], tmp_path: Path) -> None:
    plain = tune(5, (3, 4), ROLES)
    bar = plain.ticks_per_quarter * 3
    score = replace(plain, sections=(Section(0, names[0]), Section(2 * bar + bar // 2, names[1])))
    data = musicxml_bytes(score)
    check_schema(data)
    assert back(score).sections == score.sections
    (tmp_path / "a.musicxml").write_bytes(data)
    converter = pytest.importorskip("music21.converter")
    sheet = converter.parse(tmp_path / "a.musicxml", forceSource=True)
    marks = list(sheet.recurse().getElementsByClass("RehearsalMark"))
    assert [mark.content for mark in marks] == [name.removeprefix("Section ") for name in names]


def test_a_rehearsal_mark_in_a_repeat_is_as_often_there_as_it_is_played() -> None:
    data = musicxml_bytes(replace(tune(2, (4, 4), ("melody",)), sections=(Section(0, "Section A"),))).decode()
    once = '<measure number="1">'
    assert once in data
    repeated = data.replace(
        once, once + '<barline location="left"><repeat direction="forward"/></barline>', 1
    )
    at = repeated.rindex("</measure>")
    repeated = (
        repeated[:at] + '<barline location="right"><repeat direction="backward"/></barline>' + repeated[at:]
    )
    found = read_musicxml(repeated.encode(), "x.musicxml", "x")
    assert [(s.tick, s.name) for s in found.sections] == [(0, "Section A"), (2 * 4 * 480, "Section A")]


def test_music21_sees_the_same_notes(tmp_path: Path) -> None:
    converter = pytest.importorskip("music21.converter")
    score = tune(4, (4, 4), ("melody", "chords", "bass"))
    write_musicxml(tmp_path / "x.musicxml", score)
    sheet = converter.parse(tmp_path / "x.musicxml", forceSource=True)
    for part, track in zip(sheet.parts, score.tracks, strict=True):
        found = [
            (float(e.offset), p.midi)
            for e in part.stripTies().flatten().notes
            if "ChordSymbol" not in e.classes
            for p in e.pitches
        ]
        assert sorted(found) == sorted((n.onset_tick / 480, n.pitch) for n in track)


@pytest.mark.parametrize("quality", QUALITIES)
def test_every_chord_quality_is_written_by_the_schema_and_read_back(quality: str) -> None:
    labels = [f"{root}:{quality}" for root in ("C", "F#", "Bb", "Eb")]
    labels += [f"G:{quality}(b13)/B", f"A:{quality}/b3"] if quality == "7" else []
    labels += ["N"]
    chords = tuple(Chord(i * 480, label) for i, label in enumerate(labels))
    score = replace(tune(2, roles=("melody",)), chords=chords)
    check_schema(musicxml_bytes(score))
    read = [c.label for c in back(score).chords]
    assert read == [label.replace("/b3", "/C") for label in labels]


def scores(grid: int) -> st.SearchStrategy[Score]:
    """Scores with notes at multiples of ``grid`` ticks, in meters and keys of all kinds."""
    pitched = st.tuples(
        st.integers(0, 1920 * 3 // grid).map(lambda n: n * grid),
        st.integers(1, 24).map(lambda n: n * grid),
        st.integers(24, 100),
        st.integers(1, 127),
    )
    struck = st.tuples(
        st.integers(0, 1920 * 3 // grid).map(lambda n: n * grid),
        st.just(40),
        st.integers(35, 81),
        st.integers(1, 127),
    )
    meter = st.sampled_from([(4, 4), (3, 4), (6, 8), (12, 8), (7, 8), (5, 4), (2, 2), (3, 8), (5, 16)])

    def once(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
        return list({(row[0], row[2]): row for row in rows}.values())

    def track(rows: list[tuple[int, int, int, int]], program: int, role: str, is_drum: bool = False) -> Track:
        return Track(note_array(once(rows)), program, is_drum, role, role)

    return st.builds(
        lambda piano, tune, drums, meters, tonic, mode: Score(
            (track(piano, 0, "chords"), track(tune, 56, "melody"), track(drums, 0, "drums", True)),
            (Tempo(0, 87.3), Tempo(1000, 140.0)),
            (TimeSignature(0, *meters[0]), TimeSignature(1920, *meters[1])),
            (KeySignature(0, tonic, mode),),
        ),
        st.lists(pitched, min_size=1, max_size=24),
        st.lists(pitched, min_size=1, max_size=24),
        st.lists(struck, min_size=1, max_size=24),
        st.tuples(meter, meter),
        st.integers(0, 11),
        st.sampled_from(["major", "minor"]),
    )


@settings(max_examples=40, deadline=None)
@given(scores(120))
def test_sixteenths_come_back_to_the_tick(score: Score) -> None:
    assert rows_of(back(score)) == rows_of(score)


@settings(max_examples=40, deadline=None)
@given(scores(7))
def test_played_music_is_written_without_losing_a_note_and_reads_well(score: Score) -> None:
    data = musicxml_bytes(score)
    assert data == musicxml_bytes(score)
    check_schema(data)
    assert b"print-object" not in data
    root = fromstring(data)
    for part, track in zip(root.findall("part"), score.tracks, strict=True):
        check_part(part)
        assert (part.find("measure/attributes/key") is None) == track.is_drum
    again = back(score)
    for track, read in zip(score.tracks, again.tracks, strict=True):
        assert Counter(n.pitch for n in read) == Counter(n.pitch for n in track)
        for note in track:
            assert any(abs(n.onset_tick - note.onset_tick) <= 240 for n in read if n.pitch == note.pitch)


def check_part(part: Element) -> None:
    """Voices fill their bars; signs stand where they must and only there; no tuplets but three for two."""
    fifths, length = 0, Fraction(0)
    for measure in part.findall("measure"):
        fifths = int(measure.findtext("attributes/key/fifths") or fifths)
        time = measure.find("attributes/time")
        if time is not None:
            length = Fraction(192 * int(time.findtext("beats") or 0), int(time.findtext("beat-type") or 1))
        filled: Counter[str] = Counter()
        for note in measure.findall("note"):
            if note.find("chord") is None:
                filled[note.findtext("voice") or ""] += int(note.findtext("duration") or 0)
            assert note.findtext("time-modification/actual-notes") in (None, "3")
        assert len(set(filled.values())) == 1 and max(filled.values()) <= length
        check_signs(measure, fifths)


def check_signs(measure: Element, fifths: int) -> None:
    positions = {"flat-flat": -2, "flat": -1, "natural": 0, "sharp": 1, "double-sharp": 2}
    printed: list[tuple[int, int, str, tuple[str, str], int, str | None, bool]] = []
    at = onset = 0
    for order, element in enumerate(measure):
        if element.tag == "backup":
            at -= int(element.findtext("duration") or 0)
        if element.tag != "note":
            continue
        if element.find("chord") is None:
            onset = at
            at += int(element.findtext("duration") or 0)
        pitch = element.find("pitch")
        if pitch is not None:
            place = (pitch.findtext("step") or "", pitch.findtext("octave") or "")
            carried = onset == 0 and any(t.get("type") == "stop" for t in element.findall("tie"))
            alteration = int(pitch.findtext("alter") or 0)
            staff = element.findtext("staff") or "1"
            printed.append((onset, order, staff, place, alteration, element.findtext("accidental"), carried))
    state: dict[tuple[str, tuple[str, str]], int] = {}
    for _, _, staff, place, alteration, sign, carried in sorted(printed):
        index = STEPS.index(place[0])
        signature = (1 if index < fifths else 0) if fifths >= 0 else (-1 if index >= 7 + fifths else 0)
        if carried:
            assert sign is None
            continue
        before = state.get((staff, place), signature)
        assert (sign is None) == (alteration == before), (place, alteration, before, sign)
        assert sign is None or positions[sign] == alteration
        state[staff, place] = alteration


def test_a_player_reads_values_not_played_lengths() -> None:
    rows = [
        (0, 431, 60, 90),
        (487, 205, 62, 90),
        (716, 180, 64, 90),
        (960, 1880, 65, 90),
    ]  # played, not exact
    score = Score((Track(note_array(rows), 73, name="flute"),))
    notes = fromstring(musicxml_bytes(score)).findall("part/measure/note")
    written = [(n.findtext("type"), n.find("dot") is not None, n.find("rest") is not None) for n in notes]
    assert written == [
        ("quarter", False, False), ("eighth", False, False), ("eighth", False, False), ("half", False, False),
        ("half", False, False), ("half", False, True),
    ]  # fmt: skip


def test_swing_is_triplets_and_flat_keys_have_flats() -> None:
    scale = [56, 58, 60, 61, 63, 65, 67, 68]
    rows = [
        (i // 2 * 480 + (320 if i % 2 else 0), 150 if i % 2 else 300, pitch, 90)
        for i, pitch in enumerate(scale)
    ]
    score = Score((Track(note_array(rows), 73, name="flute"),), key_signatures=(KeySignature(0, 8, "major"),))
    root = fromstring(musicxml_bytes(score))
    assert root.findtext("part/measure/attributes/key/fifths") == "-4"
    assert not list(root.iter("accidental"))
    assert [e.text for e in root.iter("actual-notes")] == ["3"] * 8
    assert [e.text for e in root.iter("step")] == list("ABCDEFGA")


def test_the_tones_of_a_chord_are_spelled_as_its_symbol_says() -> None:
    rows = [(i * 480, 480, pitch, 90) for i, pitch in enumerate((64, 68, 71, 74, 60, 68, 72, 77))]
    chords = (Chord(0, "E:7"), Chord(1920, "F:min"))
    score = Score((Track(note_array(rows), 73),), key_signatures=(KeySignature(0, 0),), chords=chords)
    notes = fromstring(musicxml_bytes(score)).findall("part/measure/note/pitch")
    written = [(n.findtext("step"), n.findtext("alter")) for n in notes]
    assert written[1] == ("G", "1") and written[5] == ("A", "-1")


def test_chord_symbols_far_from_the_signature_are_named_for_the_key() -> None:
    rows = [(i * 960, 960, pitch, 90) for i, pitch in enumerate((66, 66, 66))]
    chords = (Chord(0, "Gb:min7"), Chord(960, "Gb:7/Bb"), Chord(1920, "N"))
    notes = Track(note_array(rows), 73)
    sharp = back(Score((notes,), key_signatures=(KeySignature(0, 4),), chords=chords))
    assert [c.label for c in sharp.chords] == ["F#:min7", "F#:7/A#", "N"]
    plain = back(Score((notes,), key_signatures=(KeySignature(0, 0),), chords=chords))
    assert [c.label for c in plain.chords] == ["Gb:min7", "Gb:7/Bb", "N"]


def test_a_piece_without_a_signature_gets_the_one_of_its_notes() -> None:
    scale = (62, 64, 66, 67, 69, 71, 73, 74)
    rows = [(i * 480, 480, pitch, 90) for i, pitch in enumerate(scale + scale[::-1])]
    root = fromstring(musicxml_bytes(Score((Track(note_array(rows), 73),))))
    assert root.findtext("part/measure/attributes/key/fifths") == "2"
    assert not list(root.iter("accidental"))


def test_a_piano_has_two_staves_and_comes_back_as_one_track() -> None:
    rows = [(beat * 480, 480, pitch, 80) for beat in range(8) for pitch in (36, 43, 64, 72)]
    score = Score((Track(note_array(rows), 0, role="chords", name="piano"),))
    root = fromstring(musicxml_bytes(score))
    assert root.findtext("part/measure/attributes/staves") == "2"
    assert rows_of(back(score)) == rows_of(score)


def test_nothing_to_engrave_and_nothing_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="without notes"):
        write_musicxml(tmp_path / "x.musicxml", replace(tune(1), tracks=()))
    assert not list(tmp_path.iterdir())
    (tmp_path / "x.musicxml").write_text("precious")
    with pytest.raises(OutputExistsError):
        write_musicxml(tmp_path / "x.musicxml", tune(1))
    assert (tmp_path / "x.musicxml").read_text() == "precious"


def test_a_title_with_signs_that_xml_cannot_hold(tmp_path: Path) -> None:
    write_musicxml(tmp_path / "x.musicxml", replace(tune(1), title="a\x00<b> & ‘c’"))
    assert read_notation(tmp_path / "x.musicxml").title == "a<b> & ‘c’"
