"""What the jobs do: each task takes the request of its job and gives its result as plain data.

Files that a job makes get names from the program (``candidate-1.mid``), never from users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from melodygen.errors import UsageError
from melodygen.generation.loop import CandidateRecord, compose
from melodygen.music.score import Score
from melodygen.request import LOOP_CONTROLS, LoopOptions, check_loop
from melodygen.server.score_json import score_to_json
from melodygen.server.worker import GENERATION, JobContext
from melodygen.services.models import ModelNames, load_models, random_seed
from melodygen.services.requests import build_request, command_of, known_style

FILES = "_files"
"""In a job's request: paths on this machine by the name of their control. Never shown to users."""

Task = Callable[[dict[str, Any], JobContext], dict[str, Any]]


def make_tasks(sort: str, names: ModelNames) -> Mapping[str, Task]:
    """The tasks of one sort of process, with their models loaded."""
    if sort == GENERATION:
        generation = GenerationTasks(names)
        return {"generate": generation.generate, "render": generation.render}
    return {"classify": AnalysisTasks(names.classifier).classify}


class GenerationTasks:
    """Writes and renders with models that are loaded once."""

    def __init__(self, names: ModelNames) -> None:
        self._names = names
        self._models = load_models(names)

    def generate(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Every candidate becomes an event as soon as it is classified, with its notes; each is saved as MIDI."""
        files: dict[str, str] = request.get(FILES, {})
        asked = {name: value for name, value in request.items() if name != FILES}
        controls = {name: value for name, value in asked.items() if name not in LOOP_CONTROLS} | files
        loop = LoopOptions(**{name: request[name] for name in LOOP_CONTROLS if request.get(name) is not None})
        check_loop(loop)
        seed = random_seed() if loop.seed is None else loop.seed
        known_style(str(controls["style"]), None, self._models.generator)
        built = build_request(controls, self._models.generator)
        written = _CandidateFiles(job)
        piece = compose(
            built, self._models.generator, self._models.renderer, self._models.classifier,
            seed=seed, candidates=loop.candidates, min_style=loop.min_style, max_rounds=loop.max_rounds,
            progress=job.progress, should_stop=job.should_stop, on_candidate=written.add,
        ).picked(loop.pick)  # fmt: skip
        return {
            "seed": seed,
            "accepted": piece.accepted,
            "chosen": written.numbers[piece.chosen.seed],
            "style_probability": piece.style_probability,
            "unselected_mean_probability": piece.unselected_mean_probability,
            "min_style": piece.min_style,
            "rounds": piece.rounds,
            "candidates": written.records,
            "model": piece.model_id,
            "classifier": piece.classifier_id,
            "seconds": round(piece.seconds, 3),
            "command": command_of(controls, loop, self._names, seed),
        }

    def render(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """A MIDI file as sound, in the format that was asked for."""
        from melodygen.audio.files import write_audio
        from melodygen.io.midi import read_midi

        score = read_midi(Path(request[FILES]["file"]))
        if not score.num_notes:
            raise UsageError("the file holds no notes")
        job.progress("rendering", 0.0)
        audio = self._models.renderer.render(score)
        name = f"render.{request['format']}"
        write_audio(job.folder / name, audio, overwrite=True)
        return {"file": name, "seconds": round(audio.duration_seconds, 3), "score": score_to_json(score)}


class _CandidateFiles:
    """Saves candidates as they come, and numbers them from 1."""

    def __init__(self, job: JobContext) -> None:
        self._job = job
        self.records: list[dict[str, Any]] = []
        self.numbers: dict[int, int] = {}

    def add(self, record: CandidateRecord, score: Score) -> None:
        from melodygen.io.midi import write_midi

        number = len(self.records) + 1
        self.numbers[record.seed] = number
        found: dict[str, Any] = {
            "number": number, "seed": record.seed, "round": record.round, "flaw": record.flaw or None,
            "style_probability": round(record.style_probability, 4), "quality": round(record.quality, 4),
        }  # fmt: skip
        if score.num_notes:
            found["midi"] = f"candidate-{number}.mid"
            write_midi(self._job.folder / found["midi"], score, overwrite=True)
        self.records.append(found)
        self._job.emit("candidate", {**found, "score": score_to_json(score)})


class AnalysisTasks:
    """Classifies uploads."""

    def __init__(self, classifier: str | None) -> None:
        from melodygen.classification.batch import load_recognizer

        self._classifier = load_recognizer(classifier)

    def classify(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Styles, tempo, key and meter of a file, with styles over time."""
        from dataclasses import replace

        from melodygen.classification.recognizer import RecognitionOptions

        job.progress("classifying", 0.0)
        options = RecognitionOptions(segments=bool(request.get("segments", True)))
        found = self._classifier.classify(Path(request[FILES]["file"]), options)
        return replace(found, path=str(request["name"])).to_dict()
