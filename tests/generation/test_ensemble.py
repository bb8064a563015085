"""Several models write together: whose turn it is, what is told, and that nothing else changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fakeband import Beeper, Judge, Writer

import melodygen
from melodygen.contracts import Draft, Generator
from melodygen.engine.writer import Abandoned, ModelWriter, PhraseRequest
from melodygen.errors import MelodygenError, UsageError
from melodygen.generation.changes import Extender
from melodygen.generation.ensemble import Ensemble, check_known, derived
from melodygen.generation.loop import candidate_seeds, compose
from melodygen.io.midi_document import read_midi_document
from melodygen.request import LoopOptions, Request
from melodygen.services.generate import GenerateRequest, prepare, run
from melodygen.services.models import LoadedModels, ModelNames, classifier_of, load_generator, model_names
from melodygen.services.requests import command_of
from melodygen.services.saving import OutputOptions

JAZZ = Request("jazz", bars=4, qpm=120.0, meter=(4, 4), tracks=("melody",))


class Other(Writer):
    """Knows another set of styles under another name."""

    model_id = "other@1111"
    styles = ("polka", "jazz", "samba")


def test_candidates_come_from_each_in_turn_and_every_one_says_from_whom() -> None:
    first, second = Writer(), Other()
    piece = compose(
        JAZZ, Ensemble((first, second)), Beeper(), Judge("harsh"), seed=3, candidates=5, max_rounds=2
    )
    for number, (_, seeds) in enumerate(first.calls, 1):
        assert seeds == candidate_seeds(3, number, 5)[0::2]
    assert [seeds for _, seeds in second.calls] == [candidate_seeds(3, n, 5)[1::2] for n in (1, 2)]
    ids = [c.model_id for c in piece.candidates]
    assert ids == 2 * [
        "fakeband-writer@0000",
        "other@1111",
        "fakeband-writer@0000",
        "other@1111",
        "fakeband-writer@0000",
    ]
    assert [c.seed for c in piece.candidates] == [s for n in (1, 2) for s in candidate_seeds(3, n, 5)]
    assert piece.model_id == "fakeband-writer@0000,other@1111"


def test_the_draft_is_what_that_model_alone_writes_from_its_seed() -> None:
    together = Ensemble((Writer(), Other(), Writer("stops"))).generate(JAZZ, [11, 12, 13, 14, 15])
    for k, draft in enumerate(together):
        alone = (Writer(), Other(), Writer("stops"))[k % 3].generate(JAZZ, [11 + k])[0]
        assert (draft.seed, draft.score) == (11 + k, alone.score)


def test_fewer_candidates_than_models_and_one_candidate() -> None:
    ensemble = Ensemble((Writer(), Other(), Writer()))
    assert [d.model_id for d in ensemble.generate(JAZZ, [5])] == ["fakeband-writer@0000"]
    assert ensemble.generate(JAZZ, []) == []


def test_styles_are_those_of_all_and_a_missing_one_names_the_model() -> None:
    ensemble = Ensemble((Writer(), Other()))
    assert ensemble.styles == ("jazz", "polka")
    assert set(ensemble.style_info) == {"mazurka"}
    with pytest.raises(
        UsageError, match=r"'samba' is not known to fakeband-writer@0000; .* common to all: jazz, polka"
    ):
        compose(Request("samba", tracks=("melody",)), ensemble, Beeper(), Judge(), seed=1)
    with pytest.raises(UsageError, match="'cha' is not known; known: jazz, mazurka, polka, samba"):
        check_known(ensemble, "cha")


def test_progress_adds_up_and_never_falls() -> None:
    told: list[float] = []
    Ensemble((Writer(), Other())).generate(JAZZ, [1, 2, 3], told.append)
    assert told == sorted(told) and told[-1] == pytest.approx(1.0) and len(told) == 2


class _Slow(Writer):
    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        for step in range(500):
            time.sleep(0.01)
            if progress is not None:
                progress(step / 500)
        return super().generate(request, seeds, progress)


class _Failing(Writer):
    def generate(
        self, request: Request, seeds: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> list[Draft]:
        raise MelodygenError("no ink")


@pytest.mark.parametrize("failing_first", [True, False])
def test_a_fault_of_one_stops_all_and_is_the_one_that_is_told(failing_first: bool) -> None:
    members: tuple[Generator, ...] = (_Failing(), _Slow()) if failing_first else (_Slow(), _Failing())
    began, threads = time.monotonic(), threading.active_count()
    with pytest.raises(MelodygenError, match="no ink"):
        Ensemble(members).generate(JAZZ, [1, 2])
    assert time.monotonic() - began < 4 and threading.active_count() == threads


def test_a_live_writer_writes_with_several_and_can_abandon_all() -> None:
    writer = ModelWriter(Ensemble((Writer(), Other())), Beeper(), Judge())
    assert writer.styles == ("jazz", "polka")
    assert writer.write(PhraseRequest(JAZZ, 3, quick=True)).score.num_notes
    assert writer.write(PhraseRequest(JAZZ, 3, candidates=3)).score.num_notes
    slow = ModelWriter(Ensemble((_Slow(), _Slow())), Beeper(), Judge())
    threading.Timer(0.2, slow.abandon).start()
    began = time.monotonic()
    with pytest.raises(Abandoned):
        slow.write(PhraseRequest(JAZZ, 3, candidates=4))
    assert time.monotonic() - began < 4


def test_changes_of_a_piece_keep_to_one_model_each() -> None:
    ensemble = derived(Ensemble((Writer(), Other())), lambda model: Extender(model, 2))
    assert isinstance(ensemble, Ensemble)
    given = Writer().generate(JAZZ, [1])[0].score
    drafts = ensemble.generate(replace(JAZZ, given=given, bars=6), [1, 2, 3])
    assert [d.model_id for d in drafts] == ["fakeband-writer@0000", "other@1111", "fakeband-writer@0000"]
    assert isinstance(derived(Writer(), lambda model: Extender(model, 2)), Extender)


def test_report_and_file_name_the_model_that_wrote_the_piece(tmp_path: Path) -> None:
    asked = GenerateRequest(
        {"style": "jazz", "bars": 2}, LoopOptions(seed=7, candidates=4, max_rounds=1),
        ModelNames("a,b"), OutputOptions(tmp_path / "piece.mid", "mid"),
    )  # fmt: skip
    models = LoadedModels(Ensemble((Writer(), Other())), Beeper(), Judge())
    (result,) = run(prepare(asked), lambda stage, done: None, models)
    report = result.report.to_dict()
    assert [c["model"] for c in report["candidates"]] == 2 * ["fakeband-writer@0000", "other@1111"]
    chosen = next(c for c in report["candidates"] if c["seed"] == report["chosen_seed"])
    assert f"model: {chosen['model']}" in read_midi_document(tmp_path / "piece.mid").texts()
    assert result.report.describe().count("other@1111") == 2 + 1  # its candidates, and the models at the end
    assert "--model a,b" in report["command"]


def test_names_of_several_models(tmp_path: Path) -> None:
    assert model_names(None) == ("",) and model_names("one") == ("one",)
    assert model_names("one, two") == ("one", "two")
    odd = tmp_path / "a,b"
    odd.mkdir()
    assert model_names(odd) == (str(odd),)
    for wrong in ("one,", ",", "one,,two"):
        with pytest.raises(UsageError, match="holds an empty name"):
            model_names(wrong)
    mine = tmp_path / "mine"
    (mine / "classifier").mkdir(parents=True)
    (mine / "classifier" / "config.json").write_text("{}")
    assert classifier_of(f"melodygen-lstm,{mine}") == mine / "classifier"
    command = command_of({"style": "jazz"}, LoopOptions(), ModelNames(f"melodygen-lstm,{mine}"), 1)
    assert "--model melodygen-lstm,mine" in command and str(tmp_path) not in command


@pytest.mark.models
def test_the_shipped_nets_write_together_and_the_same_bytes_again() -> None:
    def piece() -> melodygen.Composition:
        return melodygen.generate(
            "folk", model="melodygen-transformer,melodygen-lstm", bars=2, seed=4, candidates=3, max_rounds=1
        )

    one, two = piece(), piece()
    assert one.score == two.score and one.candidates == two.candidates
    names = [c.model_id.split("@")[0] for c in one.candidates]
    assert names == ["melodygen-transformer", "melodygen-lstm", "melodygen-transformer"]
    lstm = load_generator("melodygen-lstm").generate(one.request, [one.candidates[1].seed])[0]
    assert lstm.log_prob_per_token == pytest.approx(one.candidates[1].log_prob_per_token, abs=1e-3)
