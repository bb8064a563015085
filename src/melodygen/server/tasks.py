"""What the jobs do: each task takes the request of its job and gives its result as plain data.

Files that a job makes get names from the program (``candidate-1.mid``), never from users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from melodygen.generation.loop import CandidateRecord, compose
from melodygen.music.score import Score
from melodygen.request import LOOP_CONTROLS, Request, check_loop, loop_options
from melodygen.server.score_json import score_to_json
from melodygen.server.worker import GENERATION, JobContext
from melodygen.services.models import ModelNames, load_models, random_seed
from melodygen.services.requests import build_request, check_combination, command_of, known_style
from melodygen.services.user_file import UserFile, read_user_file

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
        loop = loop_options({name: request.get(name) for name in LOOP_CONTROLS})
        check_loop(loop)
        seed = random_seed() if loop.seed is None else loop.seed
        known_style(str(controls["style"]), None, self._models.generator)
        check_combination(controls)
        under = read_user_file(files["given"]) if files.get("given") else None
        scores = {} if under is None else {"given": under.score}
        built = build_request({**controls, **scores}, self._models.generator)
        written = _CandidateFiles(job, built, under)
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
            "warnings": [] if under is None else list(under.announce(built)),
            "command": command_of(controls, loop, self._names, seed),
        }

    def render(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """A MIDI file as sound, in the format that was asked for."""
        from melodygen.audio.files import write_audio
        from melodygen.services.render import read_balanced

        warnings: list[str] = []
        score, _ = read_balanced(Path(request[FILES]["file"]), None, warnings)
        job.progress("rendering", 0.0)
        audio = self._models.renderer.render(score)
        name = f"render.{request['format']}"
        write_audio(job.folder / name, audio, overwrite=True)
        seconds = round(audio.duration_seconds, 3)
        return {"file": name, "seconds": seconds, "score": score_to_json(score), "warnings": warnings}


class _CandidateFiles:
    """Saves candidates as they come, and numbers them from 1. Those written into a user's file are that file with the
    new notes."""

    def __init__(self, job: JobContext, request: Request, under: UserFile | None) -> None:
        self._job, self._request, self._under = job, request, under
        self.records: list[dict[str, Any]] = []
        self.numbers: dict[int, int] = {}

    def add(self, record: CandidateRecord, score: Score) -> None:
        from melodygen.io.midi import write_midi

        number = len(self.records) + 1
        self.numbers[record.seed] = number
        found: dict[str, Any] = {
            "number": number, "seed": record.seed, "round": record.round, "flaw": record.flaw or None,
            "style_probability": round(record.style_probability, 4), "quality": round(record.quality, 4),
            "model": record.model_id,
        }  # fmt: skip
        if score.num_notes:
            found["midi"] = f"candidate-{number}.mid"
            target = self._job.folder / found["midi"]
            if self._under is not None:
                self._under.write(target, score, self._request, (), True)
            else:
                write_midi(target, score, overwrite=True)
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
