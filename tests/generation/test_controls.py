"""Controls of the desk: each is there to the last note, whatever the net writes."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_generator
from fakeband import Judge

from melodygen.errors import UsageError
from melodygen.evaluation.band import blues_form
from melodygen.generation.arrangement import cut, in_form
from melodygen.generation.loop import compose, find_gap
from melodygen.generation.neural import NeuralGenerator
from melodygen.generation.performance import perform
from melodygen.generation.stream import split_segments
from melodygen.music.progression import progression_mode, read_progression
from melodygen.music.score import EXPRESSION, Score
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.request import Request
from melodygen.services.requests import build_request
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.grid import score_to_piece
from melodygen.tokens.returns import CHORDLINE

SEEDS = [1, 2, 3, 4]


@pytest.fixture(scope="module")
def generator() -> NeuralGenerator:
    return tiny_generator.make()


def written(generator: NeuralGenerator, **controls: Any) -> list[Score]:
    request = Request.of("polka", **{"bars": 4, "meter": "2/4", **controls})
    return [draft.score for draft in generator.generate(request, SEEDS)]


def test_instruments_and_ranges_are_kept(generator: NeuralGenerator) -> None:
    scores = written(
        generator, instruments="melody=trumpet,bass=Acoustic Bass,drums=brush", ranges="melody=C5:C6"
    )
    programs = {"melody": 56, "bass": 32, "drums": 40}
    assert any(track.role == "melody" for score in scores for track in score.tracks)
    for score in scores:
        for track in score.tracks:
            assert track.program == programs.get(track.role, track.program)
            if track.role == "melody":
                assert track.notes["pitch"].min() >= 72 and track.notes["pitch"].max() <= 84


def test_a_seed_gives_the_same_piece_in_every_key_and_tempo(generator: NeuralGenerator) -> None:
    """Only major: the mode is part of what is written."""
    first, *others = (
        compose(
            Request.of("polka", bars=2, meter="2/4", key=key, qpm=qpm), generator, AdditiveRenderer(), Judge(),
            seed=5, candidates=2, max_rounds=1,
        )
        for key, qpm in (("C", 110), ("F#", 60), ("A", 240))
    )  # fmt: skip
    for other in others:
        keys = other.score.key_signatures[0], first.score.key_signatures[0]
        shift = keys[0].tonic - keys[1].tonic
        assert other.chosen.seed == first.chosen.seed and other.score.qpm == other.request.qpm
        assert keys[0].tonic == (other.request.key or (0,))[0]
        for own, same in zip(other.score.tracks, first.score.tracks, strict=True):
            assert sorted((n[0], n[1]) for n in own) == sorted((n[0], n[1]) for n in same)
            if not own.is_drum:
                assert sorted(own.notes["pitch"] % 12) == sorted(
                    (same.notes["pitch"].astype(int) + shift) % 12
                )


@pytest.mark.parametrize("ending", ["cadence", "loop"])
def test_a_piece_in_a_form_returns_to_its_theme(generator: NeuralGenerator, ending: str) -> None:
    asked = Request.of("polka", bars=16, meter="2/4", form="aaba", key="Eb", ending=ending)
    made, again = (
        compose(
            asked, generator, AdditiveRenderer(), Judge(), seed=3, candidates=3, max_rounds=1, min_style=0
        )
        for _ in range(2)
    )
    assert made.score == again.score and len(made.candidates) == 3
    score, length = made.score, 4 * 960
    assert [(s.tick, s.name[-1]) for s in score.sections] == [(i * length, "AABA"[i]) for i in range(4)]
    assert score.key_signatures[0].tonic == 3 and len(score.bar_ticks()) - 1 == 16
    pitches = [
        [
            {(n.onset_tick, n.pitch) for n in cut(score, i * length, i * length + 3 * 960).tracks[t]}
            for i in range(4)
        ]
        for t in range(len(score.tracks))
    ]
    assert any(own[0] for own in pitches)
    for theme, second, _, last in pitches:
        assert (
            theme == second == last
        )  # but for its last bar, which is varied, and at the end of all the ending
    assert any(theme != bridge for theme, _, bridge, _ in pitches)


@pytest.mark.parametrize("tracks", ["melody,chords,bass,drums", "chords,drums", "melody"])
def test_solos_take_the_chords_of_their_section(generator: NeuralGenerator, tracks: str) -> None:
    """One voice alone too, which has no chord symbols otherwise."""

    def segments(bar: list[int]) -> tuple[list[list[int]], list[list[int]]]:
        found = split_segments(bar[1:])[1]
        return [s for s in found if s[0] == CHORDLINE], [s for s in found if s[0] != CHORDLINE]

    asked = Request.of("polka", bars=24, meter="2/4", form="AaBA", tracks=tracks)
    chords = []
    for _, stream in generator.write(asked, SEEDS):
        (theme, tune), (solo, new), (again, last) = (
            zip(*map(segments, stream.bars[first : first + 5]), strict=True) for first in (0, 6, 18)
        )
        assert theme == solo == again and tune == last != new
        chords += [segment for bar in theme for segment in bar]
    assert chords, "some bars have chord symbols"


def test_a_form_without_solos_gives_one_voice_no_chords(generator: NeuralGenerator) -> None:
    asked = Request.of("polka", bars=8, meter="2/4", form="ABAB", tracks="melody")
    assert not generator.generate(asked, [1])[0].score.chords


@pytest.mark.parametrize(("form", "intro"), [(None, 0), ("AABA", 0), ("AaABAB", 0), (None, 7)])
def test_no_role_rests_for_more_than_a_phrase(
    generator: NeuralGenerator, form: str | None, intro: int
) -> None:
    """The tiny net knows nothing of rests: without the rule it leaves out a role for 5 to 20 bars."""
    asked = Request.of("polka", bars=24, meter="2/4", form=form, intro=intro)
    drafts = generator.generate(asked, SEEDS)
    assert [find_gap(draft.score, asked) for draft in drafts] == [""] * len(SEEDS)
    raw = generator.generate(replace(asked, raw=True, intro=0, form=None), SEEDS)
    assert any(find_gap(draft.score, asked) for draft in raw)


def test_a_candidate_in_a_form_is_the_same_alone(generator: NeuralGenerator) -> None:
    """Streams of a batch come to their returns at different steps, and wait for each other there."""
    asked = Request.of("polka", bars=16, meter="2/4", form="ABAB")
    together = generator.generate(asked, SEEDS)
    assert [generator.generate(asked, [seed])[0].score for seed in SEEDS] == [d.score for d in together]


@pytest.mark.parametrize(
    ("controls", "letters"),
    [
        ({}, "AABA"), ({"form": "ABAC"}, "ABAC"), ({"form": "none"}, ""), ({"chords": "C | G7"}, ""),
        ({"intro": 4}, ""), ({"raw": True}, ""), ({"bars": 16}, ""), ({"bars": 36}, "AABA"),
    ],
)  # fmt: skip
def test_a_long_piece_has_the_form_of_its_style(
    generator: NeuralGenerator, controls: dict[str, Any], letters: str
) -> None:
    asked = Request.of("polka", **{"bars": 32, "meter": "2/4", **controls})
    score = generator.generate(asked, [1])[0].score
    assert [s.name for s in score.sections] == [f"Section {letter}" for letter in letters]


def test_a_generator_that_writes_no_forms_gets_its_themes_arranged(generator: NeuralGenerator) -> None:
    class Plain:
        """Writes what it is asked, without forms."""

        model_id, styles = "plain", generator.styles

        def generate(self, request: Request, seeds: Any, progress: Any = None) -> Any:
            assert not request.form
            return generator.generate(request, seeds, progress)

    asked = Request.of("polka", bars=9, meter="2/4", form="ABA")
    score = in_form(Plain(), asked).generate(asked, [1])[0].score
    assert [s.name for s in score.sections] == ["Section A", "Section B", "Section A"]
    assert in_form(generator, asked) is generator


def test_a_form_gives_the_number_of_bars() -> None:
    assert build_request({"style": "jazz", "form": "ABA"}).bars == 24
    assert build_request({"style": "blues", "form": "AB"}).bars == 24, "choruses of twelve"
    assert build_request({"style": "jazz", "form": "abac", "bars": 16}).form == "ABAC"


def test_density_is_monotone_for_each_track(generator: NeuralGenerator) -> None:
    """Onsets of the melody rise with each step."""
    counts = []
    for value in ("low", "0.5", "1"):
        scores = written(generator, track_density=f"melody={value}", bars=8, tracks="melody,bass")
        counts.append(sum(len(np.unique(t.notes["onset_tick"])) for s in scores for t in s.tracks[:1]))
    assert counts[0] < counts[1] < counts[2]


def test_an_automatic_progression_is_one_of_the_style_and_ends_at_home(generator: NeuralGenerator) -> None:
    heard = set()
    for key, mode in (("D", "maj"), ("Dm", "min")):
        for score in written(generator, progression="auto", bars=6, key=key):
            labels = [c.label for c in score.chords]
            assert labels[-1] == f"D:{mode}" and len(labels) >= 3
            heard.add(tuple(labels[:3]))
    assert len(heard) > 2
    assert read_progression("minor jazz cadence", "Cm").bars[0] == ("D:hdim7",)
    assert [progression_mode(n) for n in ("axis", "minor circle", "folia", "12-bar blues")] == [
        "major", "minor", "minor", "major",
    ]  # fmt: skip


def test_a_style_in_choruses_is_written_in_its_form_where_whole_choruses_are_asked_for() -> None:
    """I in bar 1, IV in 5, I in 7 and 11: every twelve-bar blues has those."""
    generator = tiny_generator.make()
    in_choruses = replace(
        generator.style_info["polka"],
        progressions=("12-bar blues", "8-bar blues", "quick-change blues"),
        dataset=replace(generator.style_info["polka"].dataset, chorus_bars=12),
    )
    generator.style_info = {"polka": in_choruses}
    request = Request("polka", 24, meter=(4, 4), key=(2, "major"), tracks=("melody", "chords"))
    for draft in generator.generate(request, range(6)):
        assert blues_form(score_to_piece(draft.score)) >= 0.9  # the last bars come home
    for changed in (replace(request, bars=16), replace(request, raw=True)):
        forms = [blues_form(score_to_piece(d.score)) for d in generator.generate(changed, range(6))]
        assert float(np.mean(forms)) < 0.7


@pytest.mark.parametrize("style", built_in_styles())
def test_every_style_has_progressions(style: str) -> None:
    names = built_in_styles()[style].progressions
    assert len(names) > 1 and all(read_progression(name, "Eb").bars for name in names)


@pytest.mark.parametrize("tracks", ["melody,bass", "melody", "melody,chords,drums"])
def test_density_and_syncopation_rise_with_what_is_asked(tracks: str, generator: NeuralGenerator) -> None:
    """Counted here by hand: onsets, and onsets off the beat before a beat without one."""
    for control in ("density", "syncopation"):
        found = []
        for value in (0.0, 0.5, 1.0):
            counts = [_onsets(s) for s in written(generator, bars=8, tracks=tracks, **{control: value})]
            found.append(np.mean([c[0] if control == "density" else c[1] / c[0] for c in counts]))
        assert found[0] < found[1] < found[2], (control, found)


def _onsets(score: Score) -> tuple[int, int]:
    total = late = 0
    for track in score.tracks:
        onsets = set(track.notes["onset_tick"].tolist())
        total += len(onsets)
        if not track.is_drum:
            late += sum(bool(at % 480) and (at // 480 + 1) * 480 not in onsets for at in onsets)
    return total, late


def test_leaps_stay_within_what_is_asked_in_every_key(generator: NeuralGenerator) -> None:
    assert max(_leap(s) for s in written(generator, bars=8)) > 5
    for key in ("C", "F#", "Bb"):
        for instruments in ("melody=flute", "melody=trumpet", "melody=violin"):
            for score in written(generator, bars=6, leap=3, key=key, instruments=instruments):
                assert _leap(score) <= 3


def test_leaps_are_as_frequent_as_asked(generator: NeuralGenerator) -> None:
    """Counted by hand; asked with a widest leap too, both are kept."""
    found = []
    for share in (0.0, 0.4, 0.9):
        moves = [m for s in written(generator, bars=8, leap_share=share) for m in _moves(s) if m]
        found.append(sum(m > 2 for m in moves) / len(moves))
    assert found[0] < found[1] < found[2] and found[0] < 0.5 and found[2] > 0.8, found
    for score in written(generator, bars=8, leap_share=0.9, leap=4):
        assert _leap(score) <= 4
    with pytest.raises(UsageError, match="--leap 2 allows none; give --leap 3 or more"):
        Request.of("polka", bars=4, leap=2, leap_share=0.5)
    with pytest.raises(UsageError, match="--raw or --leap-share"):
        Request.of("polka", bars=4, raw=True, leap_share=0.0)


def _leap(score: Score) -> int:
    return max(_moves(score), default=0)


def _moves(score: Score) -> list[int]:
    melody = score.track_by_role("melody") or ()
    tops: dict[int, int] = {}
    for note in melody:
        tops[note.onset_tick] = max(note.pitch, tops.get(note.onset_tick, 0))
    line = [tops[tick] for tick in sorted(tops)]
    return [abs(a - b) for a, b in itertools.pairwise(line)]


def test_the_melody_rests_in_the_introduction_and_then_begins(generator: NeuralGenerator) -> None:
    scores = written(generator, bars=6, intro=2)
    for score in scores:
        bars = score.bar_ticks()
        melody, others = score.track_by_role("melody"), [t for t in score.tracks if t.role != "melody"]
        assert melody is not None and bars[2] <= melody.notes["onset_tick"].min() < bars[3]
        assert min(t.notes["onset_tick"].min() for t in others) < bars[1]


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_notes_are_held_as_long_as_asked(share: float, generator: NeuralGenerator) -> None:
    """Each note but those before a long rest, and every given note as it was."""
    request = Request.of("polka", bars=4, meter="2/4", note_length=share, flat=True)
    for plain, seed in zip(written(generator), SEEDS, strict=True):
        played = perform(plain, request, seed)
        for before, after in zip(plain.tracks, played.tracks, strict=True):
            onsets = sorted(set(before.notes["onset_tick"].tolist()))
            assert [n.pitch for n in before] == [n.pitch for n in after]
            for old, new in zip(before, after, strict=True):
                following = next((t for t in onsets if t > old.onset_tick), None)
                if before.is_drum or following is None or following - old.offset_tick >= 960:
                    continue
                room = following - old.onset_tick
                assert abs(new.duration_ticks - max(share * room, 30)) <= 1
        given = replace(request, given=plain, given_roles=tuple(t.role for t in plain.tracks))
        assert perform(plain, given, seed) == plain


def test_the_loop_takes_the_candidate_that_has_what_was_asked(generator: NeuralGenerator) -> None:
    piece = compose(
        Request.of("polka", bars=4, meter="2/4", density=0.9, tracks="melody,bass"), generator, AdditiveRenderer(),
        Judge(), seed=3, candidates=4, max_rounds=1, min_style=0.0,
    )  # fmt: skip
    assert set(piece.chosen.obtained) == {"density"}
    best = max(c.fit for c in piece.candidates if not c.flaw)
    assert best - piece.chosen.fit <= 0.05
    assert piece.chosen.fit == pytest.approx(1 - abs(0.9 - piece.chosen.obtained["density"]))


@pytest.mark.parametrize("ending", ["ritardando", "fade", "cold"])
def test_endings(ending: str, generator: NeuralGenerator) -> None:
    for seed, plain in zip(SEEDS, written(generator), strict=True):
        ended = perform(plain, Request.of("polka", bars=4, ending=ending, flat=True), seed)
        bars = plain.bar_ticks()
        if ending == "ritardando":
            qpm = [t.qpm for t in ended.tempos]
            assert (
                qpm == sorted(qpm, reverse=True)
                and qpm[-1] < 0.8 * qpm[0]
                and ended.tempos[1].tick >= bars[-3]
            )
            assert ended.tracks == plain.tracks
        elif ending == "fade":
            for track in ended.tracks:
                values = [v for _, c, v in track.controls.tolist() if c == EXPRESSION]
                assert values == sorted(values, reverse=True) and values[0] == 127 and values[-1] < 40
        else:
            assert ended.end_tick <= bars[-2] + 480


def test_a_style_in_choruses_is_usually_written_in_whole_ones() -> None:
    usual = {style: build_request({"style": style}).bars for style in ("jazz", "blues")}
    assert usual == {"jazz": 16, "blues": 12}
    assert build_request({"style": "blues", "bars": 16}).bars == 16, "what is asked for is written"
    assert build_request({"style": "blues", "chords": "C7 | F7"}).bars == 2


def test_progressions_are_the_chords(generator: NeuralGenerator) -> None:
    request = build_request({"style": "jazz", "progression": "ii-V-I in Bb"})
    assert (request.bars, request.key) == (16, (10, "major"))
    assert request.chords is not None
    assert request.chords[:5] == (("C:min",), ("F:maj",), ("Bb:maj",), ("Bb:maj",), ("C:min",))
    blues = build_request({"style": "blues", "progression": "12-bar blues in F"})
    assert blues.bars == 12 and blues.chords is not None and blues.chords[4] == ("Bb:7",)
    assert build_request({"style": "jazz", "progression": "I vi | ii V", "key": "Eb"}).chords is not None
    scores = written(generator, progression="I V | IV bVII7 in D", bars=2)
    assert [[c.label for c in s.chords] for s in scores] == [["D:maj", "A:maj", "G:maj", "C:7"]] * len(SEEDS)


@pytest.mark.parametrize(
    ("controls", "words"),
    [
        ({"instruments": "melody=trumpit"}, "'trumpit' of melody is not known; names are like trumpet"),
        ({"instruments": "melody"}, "write ROLE=VALUE with commas between"),
        ({"instruments": "melody=128"}, "program 0-127"),
        ({"instruments": "lead=flute"}, "'lead' is not a role"),
        ({"ranges": "melody=C4:D4"}, "is 2 semitones; give at least 7"),
        ({"ranges": "melody=C6:C4"}, "range C6:C4 of melody begins with its highest note; write LOWEST:HIGHEST"),
        ({"ranges": "melody=C4-C6"}, "write LOWEST:HIGHEST, like C4:C6"),
        ({"track_density": "chords=2"}, "give 0 to 1, or low, medium, high"),
        ({"progression": "ii-V-X in C"}, "'X' is neither a numeral"),
        ({"progression": "ii-V-I in H"}, "key 'H' is not known; the German H is B: write C"),
        ({"progression": "12-bar blues in"}, "names no key"),
        ({"chords": "H7 | E"}, "chord 'H7' has no root A-G; the German H is B"),
        ({"chords": ""}, "chords needs a value: give chords like"),
        ({"progression": "ii-V-I"}, "names no key; write it like 'ii-V-I in Bb', or give --key"),
        ({"progression": "axis in C", "chords": "C"}, "--progression and --chords cannot be combined"),
        ({"raw": True, "leap": 3}, "leave out --raw or --leap"),
        ({"intro": 16}, "intro 16 is not possible in 16 bars; give 0 to 15"),
        ({"intro": 2, "tracks": "melody"}, "another track that begins"),
        ({"note_length": 0}, "note-length 0 is not possible; give 0.1 to 1"),
        ({"leap": 0}, "leap 0 is not possible; give 1 to 36"),
        ({"form": "BA"}, "form 'BA' is not possible; give 1 to 26 letters that begin with A, like AABA"),
        ({"form": "AAB"}, "form AAB does not divide 16 bars; give --bars 15, or leave it out"),
        ({"form": "AABA", "chords": "C"}, "--form and --chords cannot be combined"),
        ({"form": "AABA", "intro": 2}, "--form and --intro cannot be combined"),
        ({"ending": "slow"}, "ending 'slow' is not known; known: cadence, cold"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(controls: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Request.of("jazz", **controls)
