"""A piece like a track, and one that must not share too much with any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.library.test_matching import moved
from tests.library.test_phrase import TUNES

from melodygen.errors import NoPieceError, UsageError
from melodygen.library.folder import FolderStore
from melodygen.library.lines import lines_of
from melodygen.library.track import Description, Facts, Tags
from melodygen.music.score import Score, Track, note_array
from melodygen.services.copy_limit import CopyLimit
from melodygen.services.like import controls_of, density_of


def test_controls_are_those_a_generator_knows() -> None:
    facts = Facts("recording", 60.0, (("spoken", 0.6), ("jazz", 0.3)), 132.5, (3, 4), (10, "minor"))
    found = controls_of(facts, "x.mp3")
    assert (found["style"], found["qpm"], found["meter"], found["key"]) == (
        "jazz",
        132.5,
        (3, 4),
        (10, "minor"),
    )
    odd = controls_of(Facts("score", 60.0, (("folk", 1.0),), 9_000.0, None, None), "x.mid")
    assert odd == {"style": "folk"}
    with pytest.raises(UsageError, match="none of the styles"):
        controls_of(Facts("recording", 60.0, (("spoken", 1.0),)), "x.mp3")


@pytest.mark.parametrize(
    "levels", [[1.0, 3.0, 3.0, 4.0, 5.0], [2.0, 3.0, 3.0, 3.0, 4.0], [0.0, 2.0, 4.0, 5.0, 7.0]]
)
def test_the_density_of_a_score_is_asked_for_as_the_generator_reads_it(levels: list[float]) -> None:
    for level in range(int(levels[0]), int(levels[-1]) + 1):
        gap = 480 / 2 ** ((level - 3) / 2)  # level 3 is a note a quarter, levels are half an octave apart
        rows = [(round(i * gap), round(gap), 60 + i % 7, 80) for i in range(64)]
        drums = Track(note_array([(0, 60, 36, 80)] * 1), 0, True, "drums")
        density = density_of(Score((Track(note_array(rows), role="melody"), drums)), levels)
        heard = np.interp(density * (len(levels) - 1), range(len(levels)), levels)
        assert abs(heard - level) <= 0.5, (level, density)
    assert density_of(Score((Track(note_array(rows), role="melody"),)), ()) == round(level / 7, 2)


def test_what_shares_too_many_bars_is_turned_down(tmp_path: Path) -> None:
    with FolderStore(tmp_path, create=True) as store, store.writing():
        store.set_embedder("e", 1)
        for number, tune in enumerate(TUNES[:8]):
            notes, steps = lines_of(tune)
            found = Description(
                Facts("score", 30.0), Tags(title=f"Tune {number}"), np.ones(1, np.float32),
                np.zeros((0, 78), np.float32), np.zeros((0, 24), np.uint8), notes, steps,
            )  # fmt: skip
            store.put(f"/m/{number}.mid", (1, 1), f"{number:032x}", found)
    copy = moved(TUNES[5], 4, 1.0, 10, 50)
    veto = CopyLimit(2.0, tmp_path).veto()
    assert "bars with Tune 5, 4 semitones down" in veto(copy)
    assert veto(TUNES[20]) == "" and CopyLimit(100.0, tmp_path).veto()(copy) == ""
    with pytest.raises(NoPieceError, match="nothing was written"):
        CopyLimit(2.0, tmp_path).check(copy)
    with pytest.raises(UsageError, match="0 or more"):
        CopyLimit(-1.0, tmp_path).veto()
