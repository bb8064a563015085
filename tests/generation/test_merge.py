"""New notes in a user's piece: the piece's own ticks, everything else as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mido_events import events_at_ticks
from tiny_generator import make

from melodygen.analysis.roles import assign_roles
from melodygen.generation.merge import BarLines, describe_changes, merge
from melodygen.generation.performance import perform
from melodygen.io.midi_document import read_midi_document
from melodygen.music.score import Score, Tempo, TimeSignature, Track, note_array
from melodygen.request import Request
from melodygen.services.requests import build_request
from melodygen.services.user_file import end_of, read_user_file, with_new_notes
from melodygen.tokens.grid import GridBar, Piece

CASES = Path(__file__).parents[1] / "cases"


def test_grid_positions_fall_on_the_piece_s_own_bars() -> None:
    """A pickup of one quarter read as a bar of 4/4: what lies behind its end falls on it."""
    score = Score(
        (Track(note_array([(0, 96 * 9, 60, 90)])),),
        time_signatures=(TimeSignature(0, 4, 4), TimeSignature(96, 4, 4)),
        ticks_per_quarter=96,
    )
    bars = [GridBar((4, 4))] * 4
    lines = BarLines.of(score, bars)
    assert lines.ticks == (0, 96, 96 * 5, 96 * 9, 96 * 13)
    assert [lines.tick(p) for p in (0, 6, 12, 30, 48, 60, 96)] == [0, 48, 96, 96, 96, 192, 480]
    assert lines.bars_of(96, 96 * 5) == (1, 1) and lines.bars_of(50, 97) == (0, 2)


@given(st.data())
@settings(max_examples=30)
def test_what_is_not_written_stays(data: st.DataObject) -> None:
    def notes(count: int, low: int) -> list[tuple[int, int, int, int]]:
        return [
            (
                data.draw(st.integers(0, 7000)),
                data.draw(st.integers(1, 900)),
                data.draw(st.integers(low, low + 3)),
                71,
            )
            for _ in range(count)
        ]

    roles = ("melody", "bass", "bass", "other")
    tracks = tuple(Track(note_array(notes(4, 40 + 5 * i)), i, False, r, r) for i, r in enumerate(roles))
    given_score = Score(tracks, ticks_per_quarter=480)
    part = tuple(
        sorted((data.draw(st.integers(0, 47)), 2, 3, data.draw(st.integers(45, 52))) for _ in range(3))
    )
    bars = tuple(GridBar((4, 4), {"bass": part, "chords": part}) for _ in range(5))
    piece, span = Piece(bars), data.draw(st.sampled_from([None, (1920, 5760)]))
    lines = BarLines.of(given_score, bars)
    new = range(1, 3) if span else range(5)
    merged = merge(given_score, piece, lines, ["bass", "chords"], {"chords": 9}, new, span)
    assert [t.role for t in merged.tracks] == [*roles, "chords"] and merged.tracks[4].program == 9
    assert merged.tracks[0] == tracks[0] and merged.tracks[3] == tracks[3]
    for before, after in zip(tracks[1:3], merged.tracks[1:3], strict=True):
        outside = [n for n in before if span is None or not span[0] <= n.onset_tick < span[1]]
        kept = Counter(outside) if span else Counter()
        fresh = list((Counter(after) - kept).elements())
        assert not kept - Counter(after)
        assert all(span is None or (span[0] <= n.onset_tick and n.offset_tick <= span[1]) for n in fresh)
        for note in fresh:  # MIDI has one note of a pitch at a time
            assert not any(
                k.pitch == note.pitch and k.onset_tick <= note.onset_tick < k.offset_tick for k in kept
            )
            assert not any(
                k.pitch == note.pitch and note.onset_tick < k.onset_tick < note.offset_tick for k in kept
            )


def test_what_gives_way_is_said() -> None:
    bass = [
        Track(note_array([(i * 480, 480, 40, 90) for i in range(8)]), role="bass", name=n) for n in ("B", "C")
    ]
    score = Score((Track(note_array([(0, 480, 60, 90)]), role="melody"), *bass))
    assert describe_changes(score, ["chords"], None) == []
    (said,) = describe_changes(score, ["bass", "chords"], (0, 1920))
    assert said.startswith(
        "8 notes of the bass in the bars to fill ('B', 'C') are replaced; of the 2 tracks one"
    )


@pytest.mark.parametrize("name", ["human", "pickup", "bar_1_4", "tempo_change", "ends_3_4"])
def test_a_file_that_is_written_under_comes_back_event_by_event(name: str, tmp_path: Path) -> None:
    path, target = CASES / f"{name}.mid", tmp_path / "out.mid"
    under = read_user_file(path)
    controls = {"style": "polka", "given": under.score, "given_roles": "melody", "tracks": "bass,drums"}
    generator = make()
    request = build_request(controls, generator)
    draft = max(generator.generate(request, range(6)), key=lambda d: d.score.num_notes)
    assert len(draft.score.tracks) > len(under.score.tracks)
    assert draft.score.tempos == under.score.tempos
    played = replace(request, swing=0.6, humanize=0.5)
    under.write(target, perform(draft.score, played, 3), played, ("made by us",), False)
    before, after = events_at_ticks(path.read_bytes()), events_at_ticks(target.read_bytes())
    assert after[: len(before)] == before
    end = under.score.bar_ticks()[-1]
    fresh = [n for t in read_midi_document(target).score.tracks[1:] for n in t]
    assert fresh and max(n.offset_tick for n in fresh) <= end
    assert mido.MidiFile(target).length == pytest.approx(mido.MidiFile(path).length, abs=2.1)


def test_a_filled_span_leaves_every_other_event(tmp_path: Path) -> None:
    path, target = CASES / "human.mid", tmp_path / "out.mid"
    under = read_user_file(path)
    generator = make()
    request = build_request({"style": "polka", "given": under.score, "fill": "2:2"}, generator)
    (draft,) = generator.generate(request, [3])
    assert "are replaced" in under.announce(request)[0]
    under.write(target, draft.score, request, (), False)
    bars = under.score.bar_ticks()
    before, after = events_at_ticks(path.read_bytes())[1], events_at_ticks(target.read_bytes())[1]
    gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
    assert gone and all(text.startswith("note") for _, text in [*gone, *new])
    assert all(bars[1] <= tick < bars[3] for tick, text in gone if "note_on" in text)
    assert all(bars[1] <= tick <= bars[3] for tick, _ in new)


def test_a_backing_track_of_ours_gets_a_melody() -> None:
    """A track named as a role is that role; low notes of given chords are not split off."""
    low = [(i * 960, 900, p, 80) for i in range(8) for p in (36, 60, 64, 67)]
    beat = [(i * 480, 40, 36, 100) for i in range(16)]
    backing = Score(
        (
            Track(note_array(low), 0, False, "chords", "chords"),
            Track(note_array(beat), 0, True, "drums", "drums"),
        )
    )
    named = assign_roles(backing, split=False)
    assert [t.role for t in named.tracks] == ["chords", "drums"] and named.tracks == backing.tracks
    generator = make()
    request = build_request(
        {"style": "polka", "given": named, "given_roles": "chords,drums", "tracks": "melody,bass"}, generator
    )
    (draft,) = generator.generate(request, [3])
    assert draft.score.tracks[:2] == backing.tracks
    assert {t.role for t in draft.score.tracks[2:]} <= {"melody", "bass"}


def test_a_prompt_goes_on_with_what_is_in_force_at_its_end() -> None:
    for name, meter, qpm in (
        ("ends_3_4", (3, 4), 70.0),
        ("pickup", (4, 4), 120.0),
        ("bar_1_4", (4, 4), 120.0),
    ):
        score = read_midi_document(CASES / f"{name}.mid").score
        assert end_of(score) == (meter, pytest.approx(qpm, abs=0.001))
        request = build_request({"style": "polka", "prompt": CASES / f"{name}.mid", "bars": 2}, make())
        assert request.meter == meter and request.qpm == pytest.approx(qpm, abs=0.001)
        (draft,) = make().generate(request, [1])
        first = draft.score.time_signatures[0]
        assert (first.numerator, first.denominator) == meter and draft.score.qpm == pytest.approx(
            qpm, abs=0.001
        )


def test_a_draft_of_a_plug_in_is_taken_role_by_role() -> None:
    own = Score((Track(note_array([(0, 96, 60, 90)]), 5, False, "melody", "Lead"),), ticks_per_quarter=96)
    draft = Score(
        (
            Track(note_array([(0, 480, 61, 80)]), role="melody", name="melody"),
            Track(note_array([(240, 480, 40, 80)]), 32, False, "bass", "bass"),
        )
    )
    merged = with_new_notes(own, draft, Request("jazz", given=own, given_roles=("melody",)))
    assert merged.tracks[0] == own.tracks[0] and list(merged.tracks[1]) == [(48, 96, 40, 80)]


def test_swing_moves_new_notes_only() -> None:
    given_score = Score(
        (Track(note_array([(240, 100, 60, 90), (720, 100, 62, 90)]), role="melody"),), (Tempo(0, 100),)
    )
    new = Track(note_array([(240, 100, 40, 90), (720, 100, 41, 90)]), role="bass")
    request = Request("jazz", 1, given=given_score, given_roles=("melody",), swing=0.6)
    played = perform(replace(given_score, tracks=(*given_score.tracks, new)), request, 1)
    assert played.tracks[0] == given_score.tracks[0]
    assert np.all(played.tracks[1].notes["onset_tick"] > new.notes["onset_tick"])
