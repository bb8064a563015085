"""Change one thing: what is named changes, everything else stays, seen by a second MIDI reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import tiny_generator
from fakeband import Judge

from melodygen.errors import UsageError
from melodygen.generation.arrangement import cut, likeness
from melodygen.io.midi import read_midi, write_midi
from melodygen.music.score import Chord, Score, Section, Tempo, TimeSignature, Track, control_array
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.request import LoopOptions
from melodygen.services.change import ChangeRequest, ChangeResult, change, parse_span
from melodygen.services.models import LoadedModels
from melodygen.services.saving import OutputOptions
from melodygen.services.transpose import transpose_file

BARS = 8


def band() -> Score:
    """Five named tracks, two of them chords, off the grid, with a pedal, a tempo change and a section."""

    def line(pitch: int, step: int, off: int = 0) -> list[tuple[int, int, int, int]]:
        return [(t + off, step - 20, pitch + (t // step) % 5, 80) for t in range(0, BARS * 960, step)]

    pedal = control_array([(0, 64, 127.0), (1900, 64, 0.0)])
    return Score(
        (
            Track(line(72, 240, 3), 73, role="melody", name="Whistle"),
            Track(line(60, 480), 4, role="chords", name="Rhodes", controls=pedal),
            Track(line(64, 960), 27, role="chords", name="Guitar"),
            Track(line(36, 480), 33, role="bass", name="Bass"),
            Track(line(38, 240), is_drum=True, role="drums", name="Kit"),
        ),
        (Tempo(0, 110.0), Tempo(3840, 90.0)),
        (TimeSignature(0, 2, 4),),
        chords=(Chord(0, "C:maj"), Chord(3840, "G:7")),
        sections=(Section(0, "Verse 1"),),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_midi(tmp_path / "band.mid", band())
    return tmp_path / "band.mid"


def changed(kind: str, file: Path, **more: Any) -> ChangeResult:
    models = LoadedModels(tiny_generator.make(), AdditiveRenderer(), Judge())
    loop = LoopOptions(seed=5, candidates=2, max_rounds=1)
    output = OutputOptions(file.parent / "out.mid", "mid", force=True)
    asked = ChangeRequest(kind, file, **{"style": "polka", "loop": loop, "output": output, **more})
    return change(asked, lambda stage, done: None, models)


def events(path: Path) -> dict[str, list[tuple[int, str]]]:
    """Every event of every track with its tick, by the track's name."""
    found: dict[str, list[tuple[int, str]]] = {}
    for number, track in enumerate(mido.MidiFile(path).tracks):
        tick, rows = 0, []
        for message in track:
            tick += message.time
            if message.type != "end_of_track":
                rows.append((tick, str(message.copy(time=0))))
        found[track.name or str(number)] = sorted(rows)
    return found


@pytest.mark.parametrize("bars", [None, "3-6"])
def test_rewrite_changes_the_named_track_alone(file: Path, bars: str | None) -> None:
    changed("rewrite", file, tracks="Rhodes", bars=bars)
    before, after = events(file), events(file.parent / "out.mid")
    assert {name for name in before if before[name] != after[name]} == {"Rhodes"}
    first, last = (0, BARS * 960) if bars is None else (2 * 960, 6 * 960)

    def others(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
        return [r for r in rows if "note_" not in r[1] or not first <= r[0] <= last]

    assert others(before["Rhodes"]) == others(after["Rhodes"])
    assert any("style: polka" in text for _, text in after["melodygen"])


def test_a_variation_keeps_the_beginning_of_the_phrase_and_grows_with_its_amount(file: Path) -> None:
    kept = []
    for amount in (0.25, 0.5, 1.0):
        changed("vary", file, amount=amount, tracks="Whistle")
        before, after = (read_midi(p).tracks[0].notes for p in (file, file.parent / "out.mid"))
        start = round(BARS * (1 - amount)) * 960
        assert np.array_equal(before[before["onset_tick"] < start], after[after["onset_tick"] < start])
        kept.append(len({tuple(n) for n in before.tolist()} & {tuple(n) for n in after.tolist()}))
    assert kept == sorted(kept, reverse=True) and kept[0] > kept[-1]


def test_an_extension_is_one_file_in_the_same_tracks(file: Path) -> None:
    result = changed("extend", file, num_bars=4)
    after = read_midi(file.parent / "out.mid")
    for old, new in zip(band().tracks, after.tracks, strict=False):
        assert new.name == old.name and [n for n in new if n.onset_tick < BARS * 960] == list(old)
    assert any(n.onset_tick >= BARS * 960 for track in after.tracks for n in track)
    assert result.report.bars >= BARS + 1


def test_a_form_returns_to_its_theme(file: Path) -> None:
    changed("arrange", file, form="AABA", section_bars=4)
    after = read_midi(file.parent / "out.mid")
    length = 4 * 960
    assert [(s.tick, s.name[-1]) for s in after.sections] == [(i * length, "AABA"[i]) for i in range(4)]
    parts = [cut(after, i * length, (i + 1) * length) for i in range(4)]
    whistle = [{(n.onset_tick, n.pitch) for n in part.tracks[0]} for part in parts]
    theme = {(n.onset_tick, n.pitch) for n in band().tracks[0] if n.onset_tick < length}
    assert whistle[0] == theme
    early = {
        n for n in theme if n[0] < 3 * 960
    }  # the last bar is varied, and at the end of all it is the ending
    assert early <= whistle[1] and early <= whistle[3]
    assert any(
        not np.array_equal(a.notes, b.notes) for a, b in zip(parts[0].tracks, parts[1].tracks, strict=True)
    )
    assert likeness(parts[0], parts[2]) < min(likeness(parts[0], parts[i]) for i in (1, 3))


def test_its_own_pieces_need_no_style(file: Path) -> None:
    changed("rewrite", file, tracks="drums")
    (file.parent / "out.mid").rename(file.parent / "ours.mid")
    result = changed("rewrite", file.parent / "ours.mid", tracks="Kit", style=None)
    assert result.composition.request.style == "polka" and not result.warnings
    assert "rewrite ours.mid --style polka --tracks Kit" in result.report.command
    heard = changed("rewrite", file, tracks="Kit", style=None)
    assert any("does not say its style; it sounds like polka" in text for text in heard.warnings)


def test_transposing_moves_notes_keys_and_chords_and_nothing_else(file: Path) -> None:
    done = transpose_file(file, 2, None, file.parent / "up.mid")
    before, after = events(file), events(done.path)
    assert before["Kit"] == after["Kit"]
    for old, new in zip(read_midi(file).tracks[:4], read_midi(done.path).tracks, strict=False):
        assert (new.notes["pitch"] == old.notes["pitch"] + 2).all()
        assert np.array_equal(new.controls, old.controls)
    assert [c.label for c in read_midi(done.path).chords] == ["D:maj", "A:7"]
    transpose_file(done.path, -2, None, file.parent / "back.mid")
    assert events(file.parent / "back.mid") == before
    with pytest.raises(UsageError, match="leaves the MIDI range 0-127; give fewer semitones"):
        write_midi(file, Score((Track([(0, 480, 120, 90)], role="melody"),)), overwrite=True)
        transpose_file(file, 20, None, file.parent / "no.mid")
    assert not (file.parent / "no.mid").exists()


def test_a_few_bars_of_a_piece_longer_than_can_be_written_are_changed(file: Path) -> None:
    bars = 300

    def line(pitch: int) -> list[tuple[int, int, int, int]]:
        return [(bar * 960, 900, pitch + bar % 5, 80) for bar in range(bars)]

    tracks = (
        Track(line(72), 73, role="melody", name="Whistle"),
        Track(line(36), 33, role="bass", name="Bass"),
    )
    write_midi(file, Score(tracks, (Tempo(0, 110.0),), (TimeSignature(0, 2, 4),)), overwrite=True)
    changed("rewrite", file, tracks="Bass", bars="299-300")
    before, after = events(file), events(file.parent / "out.mid")
    assert before["Whistle"] == after["Whistle"]
    assert [e for e in before["Bass"] if e[0] < 298 * 960] == [e for e in after["Bass"] if e[0] < 298 * 960]
    changed("extend", file, num_bars=2)
    assert len(read_midi(file.parent / "out.mid").bar_ticks()) - 1 > bars
    for kind, more in (("rewrite", {"tracks": "Bass"}), ("vary", {"amount": 1.0})):
        with pytest.raises(UsageError, match=r"band\.mid has 300 bars; at most 256 .* name some with --bars"):
            changed(kind, file, **more)


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("rewrite", {"tracks": "Tuba"}, "no track is called 'Tuba'; the tracks and their roles: Whistle, melody"),
        ("rewrite", {}, "rewrite needs --tracks NAMES"),
        ("vary", {"bars": "4-99"}, "bars '4-99' are not possible; give FIRST-LAST within 1-8"),
        ("vary", {"amount": 1.5}, "amount 1.5 is not possible; give 0 to 1"),
        ("arrange", {"form": "BA"}, "form 'BA' is not possible; give 1 to 26 letters that begin with A"),
        ("arrange", {"section_bars": 9}, "the piece has 8 bars, a section has 9; give --section-bars 1 to 8"),
        ("extend", {"num_bars": 0}, "bars 0 is not possible"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(file: Path, kind: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        changed(kind, file, **more)
    assert [p.name for p in file.parent.iterdir()] == ["band.mid"]


def test_spans() -> None:
    assert parse_span("5-8", 16) == range(4, 8) and parse_span(" 5 ", 5) == range(4, 5)
    for text in ("0-3", "4-2", "x", "", "3-17"):
        with pytest.raises(UsageError):
            parse_span(text, 16)
