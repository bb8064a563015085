"""The same notes on other instruments: what a plan changes, and what it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from melodygen.data.orchestration import ANY_PROGRAMS, HELD_OUT_PROGRAMS
from melodygen.data.reorchestration import LEADS, NEIGHBOURS, PLANS, reorchestrated
from melodygen.errors import ScoreError
from melodygen.music.score import Score, Track, note_array


def band() -> Score:
    """A clarinet, a guitar, a bass, an unusual sound, and drums."""
    parts = (("melody", 71), ("chords", 26), ("bass", 33), ("other", 122), ("drums", 0))
    return Score(
        tuple(
            Track(note_array([(i * 240, 200, 40 + 5 * n, 80) for i in range(8)]), p, r == "drums", r, r)
            for n, (r, p) in enumerate(parts)
        )
    )


@pytest.mark.parametrize("plan", PLANS)
def test_notes_stay_and_equal_seeds_give_equal_instruments(plan: str) -> None:
    score = band()
    for seed in range(20):
        found = reorchestrated(score, plan, np.random.default_rng(seed))
        assert found == reorchestrated(score, plan, np.random.default_rng(seed))
        silent = plan in ("piano", "leads", "no_drums")
        kept = [t for t in score.tracks if not (silent and t.is_drum)]
        assert [t.role for t in found.tracks] == [t.role for t in kept]
        for before, after in zip(kept, found.tracks, strict=True):
            assert before.notes.tobytes() == after.notes.tobytes()
            assert after.program == before.program or after.program not in HELD_OUT_PROGRAMS


def test_each_plan_changes_what_it_says() -> None:
    drawn: dict[str, list[list[int]]] = {
        plan: [
            [t.program for t in reorchestrated(band(), plan, np.random.default_rng(s)).tracks[:4]]
            for s in range(40)
        ]
        for plan in PLANS
    }
    own = [71, 26, 33, 122]
    assert all(row == own for plan in ("same", "no_drums") for row in drawn[plan])
    assert all(row == [0] * 4 for row in drawn["piano"])
    assert {tuple(row) for row in drawn["leads"]} == {(p,) * 4 for p in set(LEADS)}
    assert (
        all(len(set(row)) == 1 for row in drawn["keyboard"]) and len(set(map(tuple, drawn["keyboard"]))) > 3
    )
    for row in drawn["neighbours"]:
        assert row[3] == 122  # nothing stands for a seashore
        for before, after in zip(own[:3], row[:3], strict=True):
            assert after != before and any({before, after} <= set(n) for n in NEIGHBOURS)
    stems = ("melody", "harmony", "bass", "extra")
    for row in drawn["any"]:
        assert all(p in ANY_PROGRAMS[stem] for p, stem in zip(row, stems, strict=True))
    assert len({row[0] for row in drawn["any"]}) > 10


def test_programs_kept_for_measuring_are_drawn_on_request_alone() -> None:
    found = {
        held_out: {
            t.program
            for s in range(300)
            for t in reorchestrated(band(), "neighbours", np.random.default_rng(s), held_out).tracks
        }
        for held_out in (False, True)
    }
    assert not found[False] & HELD_OUT_PROGRAMS and found[True] & HELD_OUT_PROGRAMS


def test_a_score_of_drums_alone_may_become_empty_and_unknown_plans_are_told() -> None:
    score = band()
    drums = Score(score.tracks[4:])
    assert not reorchestrated(drums, "leads", np.random.default_rng(0)).tracks
    assert reorchestrated(drums, "keyboard", np.random.default_rng(0)) == drums
    with pytest.raises(ScoreError, match="'choir' is not one of neighbours"):
        reorchestrated(score, "choir", np.random.default_rng(0))
