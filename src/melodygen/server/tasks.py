"""What the jobs do: each task takes the request of its job and gives its result as plain data.

Files that a job makes get names from the program (``candidate-1.mid``), never from users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melodygen.errors import MelodygenError
from melodygen.generation.loop import CandidateRecord, compose
from melodygen.generation.naming import chord_notes
from melodygen.music.score import Score
from melodygen.request import LOOP_CONTROLS, Request, check_loop, loop_options
from melodygen.server.library_json import EVERYWHERE, match_json, phrase_json, similar_json
from melodygen.server.score_json import score_to_json
from melodygen.server.worker import ANALYSIS, GENERATION, KINDS, JobContext
from melodygen.services.models import ModelNames, load_models, random_seed
from melodygen.services.requests import (
    build_request,
    check_combination,
    command_of,
    known_style,
    notes_of_unused,
)
from melodygen.services.user_file import UserFile, read_user_file

if TYPE_CHECKING:
    from melodygen.services.describing import Describer
    from melodygen.services.library import Library

FILES = "_files"
"""In a job's request: paths on this machine by the name of their control. Never shown to users."""

SIMILAR_KNOBS = ("top", "same_style", "not_same_artist", "mood", "kind")
"""Conditions of ``Library.similar`` that a request may carry."""

Task = Callable[[dict[str, Any], JobContext], dict[str, Any]]


def make_tasks(sort: str, names: ModelNames) -> Mapping[str, Task]:
    """The tasks of one sort of process, with their models loaded."""
    if sort == GENERATION:
        generation = GenerationTasks(names)
        return {"generate": generation.generate, "render": generation.render}
    analysis = AnalysisTasks(names.classifier)
    return {name: getattr(analysis, name) for name in KINDS[ANALYSIS]}


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
            "warnings": [
                *(() if under is None else under.announce(built)),
                *chord_notes(built),
                *notes_of_unused(controls, built),
            ],
            "command": command_of(controls, loop, self._names, seed),
        }

    def render(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """A MIDI file as sound, in the format that was asked for."""
        from melodygen.server.exports import export_sound

        score, warnings = _read_piece(Path(request[FILES]["file"]))
        job.progress("rendering", 0.0)
        name, seconds = export_sound(score, request["format"], job.folder, self._models.renderer)
        return {"file": name, "seconds": seconds, "score": score_to_json(score), "warnings": warnings}


def _read_piece(path: Path) -> tuple[Score, list[str]]:
    """A file's score, ready to be rendered, and what had to be mended."""
    from melodygen.services.render import read_balanced

    warnings: list[str] = []
    return read_balanced(path, None, warnings)[0], warnings


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
    """Hears what users send: classifies it, and asks the library about it."""

    def __init__(self, classifier: str | None) -> None:
        from melodygen.classification.batch import load_recognizer

        self._classifier = load_recognizer(classifier)

    def classify(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Styles, tempo, key and meter of a file, styles over time, and what of the library sounds like it."""
        from dataclasses import replace

        from melodygen.classification.recognizer import RecognitionOptions

        job.progress("classifying", 0.0)
        options = RecognitionOptions(segments=bool(request.get("segments", True)))
        result = self._classifier.classify(Path(request[FILES]["file"]), options)
        found = replace(result, path=str(request["name"])).to_dict()
        found["recommendations"] = []
        if request.get("recommend"):
            job.progress("asking the library", 0.7)
            try:
                found["recommendations"] = self.similar({**request, "top": request["recommend"]}, job)[
                    "tracks"
                ]
            except MelodygenError as error:
                found["notes"] = [*found["notes"], f"no recommendations: {error}"]
        return found

    def similar(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Tracks of the library that sound like a file."""
        job.progress("listening", 0.1)
        knobs = {name: request[name] for name in SIMILAR_KNOBS if request.get(name) is not None}
        with self._library(request) as library:
            return {"tracks": similar_json(library.similar(Path(request[FILES]["file"]), **knobs))}

    def identify(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Tracks of the library that share music with a file."""
        job.progress("listening", 0.1)
        with self._library(request) as library:
            return {"matches": match_json(library.identify(Path(request[FILES]["file"]), top=request["top"]))}

    def find(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """Tracks of the library that hold the tune of a MIDI or score file, or of a hum."""
        from melodygen.classification.symbolic import is_symbolic
        from melodygen.services.phrases import read_phrase

        job.progress("listening", 0.1)
        path, top = Path(request[FILES]["file"]), request["top"]
        with self._library(request) as library:
            phrase = read_phrase(midi=path) if is_symbolic(path) else read_phrase(hum=path)
            return phrase_json(phrase, library.find(phrase, top=max(top, EVERYWHERE + 1)), top)

    def history(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """The plays of an exported history, remembered by the library."""
        import time

        from melodygen.services.listening import import_history, record_plays

        with self._library(request) as library:
            plays, unknown = import_history(library.store, Path(request[FILES]["file"]), time.time())
            new = record_plays(library.store, plays)
        listeners = sorted({play.listener for play in plays})
        return {"listens": len(plays), "new": new, "unknown_listens": unknown, "listeners": listeners}

    def map(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """The library in two dimensions: a point for each track."""
        from melodygen.services.collection import mapped_tracks

        job.progress("laying out", 0.0)
        with self._library(request) as library:
            tracks, layout = mapped_tracks(library.store, None, int(request["seed"]))
        rows = zip(tracks, layout.styles, layout.clusters.tolist(), layout.points.tolist(), strict=True)
        return {
            "clusters": layout.num_clusters,
            "tracks": [
                {
                    "track": t.track_id,
                    "name": t.name,
                    "style": style,
                    "cluster": cluster,
                    "x": round(x, 4),
                    "y": round(y, 4),
                }
                for t, (style, _), cluster, (x, y) in rows
            ],
        }

    def export(self, request: dict[str, Any], job: JobContext) -> dict[str, Any]:
        """A piece in a format that is made of its notes alone."""
        from melodygen.server.exports import export_notes

        score, warnings = _read_piece(Path(request[FILES]["file"]))
        return {"file": export_notes(score, request["format"], job.folder), "warnings": warnings}

    def _library(self, request: dict[str, Any]) -> Library:
        """With the nets that are loaded already."""
        from melodygen.services.library import Library

        return Library(request[FILES]["library"], describer=lambda: self._describer)

    @cached_property
    def _describer(self) -> Describer:
        from melodygen.services.describing import Describer

        return Describer.of(self._classifier)
