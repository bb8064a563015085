"""What is reported about a piece that was generated, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from melodygen import __version__
from melodygen.data.scan import dominant_meter
from melodygen.generation.loop import CandidateRecord, Composition
from melodygen.generation.obtained import asked_figures
from melodygen.music.form import form_of
from melodygen.music.key import key_name
from melodygen.services.output import AUDIO_FORMATS
from melodygen.services.user_file import num_bars


@dataclass(frozen=True)
class CandidateReport:
    """One candidate: see ``melodygen.generation.loop.CandidateRecord``. ``flaw`` None: it has none."""

    seed: int
    round: int
    style_probability: float
    log_prob_per_token: float
    quality: float
    flaw: str | None
    model: str = ""


@dataclass(frozen=True)
class KeptReport:
    """A candidate that was kept to choose from. ``--pick NUMBER`` with the same seed makes it the piece."""

    number: int
    seed: int
    style_probability: float
    quality: float
    flaw: str | None
    files: Mapping[str, str]

    @classmethod
    def of(cls, number: int, record: CandidateRecord, paths: Mapping[str, Path]) -> KeptReport:
        """Of candidate ``number``, from 1, and the path of each format it was written in."""
        files = {kind: str(path) for kind, path in paths.items()}
        return cls(number, record.seed, record.style_probability, record.quality, record.flaw or None, files)


@dataclass(frozen=True)
class Obtained:
    """What was asked of a control, and what the piece has of it, on the same scale."""

    asked: float
    obtained: float


@dataclass(frozen=True)
class PieceReport:
    """What ``melodygen generate --json`` prints of a piece. ``seconds``: how long it took, loading included."""

    style: str
    seed: int
    bars: int
    form: str | None
    qpm: float
    meter: str
    key: str | None
    tracks: tuple[str, ...]
    midi: str | None
    audio: str | None
    files: Mapping[str, str]
    style_probability: float
    min_style: float
    accepted: bool
    unselected_mean_probability: float
    heard_as: Mapping[str, float]
    chosen_seed: int
    candidates: tuple[CandidateReport, ...]
    turned_down: int
    rounds: int
    seconds: float
    model: str
    classifier: str
    renderer: str
    version: str
    command: str
    picked: int = 1
    kept: tuple[KeptReport, ...] = ()
    track_files: tuple[str, ...] = ()
    obtained: Mapping[str, Obtained] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def describe(self) -> str:
        """The same for people, in a few lines."""
        listed = [self._line(candidate) for candidate in self.candidates]
        flawed = " or with a flaw" if any(candidate.flaw for candidate in self.candidates) else ""
        shortfall = (
            ""
            if self.accepted or self.picked > 1
            else f"\n  No candidate reached {self.min_style:g} without a flaw: this is the best of {len(listed)}."
            "\n  Try more --max-rounds, another --seed or a lower --temperature."
        )
        return "\n".join(
            [
                f"{self.style}, {self.bars} bars of {self.meter} at {self.qpm:g} qpm"
                + (f" in {self.key}" if self.key else "")
                + (f", form {self.form}" if self.form else "")
                + f": {', '.join(self.tracks)}",
                f"  seed {self.seed}",
                f"  style probability {self.style_probability:.2f} "
                f"(mean of all {len(listed)} before choosing: {self.unselected_mean_probability:.2f}; "
                f"{self.turned_down} below {self.min_style:g}{flawed})",
                *(f"    {line}" for line in listed),
                *self._obtained_lines(),
                f"  {self.seconds:.1f} s, {self.model}, {self.classifier}{shortfall}",
                *(f"  {path}" for path in (*self.files.values(), *self.track_files)),
                *(self._kept_line(kept) for kept in self.kept),
            ]
        )

    def _obtained_lines(self) -> list[str]:
        told = [
            f"{name.replace('_', ' ')} {one.obtained:g} (asked {one.asked:g})"
            for name, one in self.obtained.items()
        ]
        return [f"  obtained: {', '.join(told)}"] if told else []

    def _kept_line(self, kept: KeptReport) -> str:
        flaw = f"  flaw: {kept.flaw}" if kept.flaw else ""
        figures = f"style {kept.style_probability:.2f}  quality {kept.quality:.2f}"
        return f"  {kept.number}. {figures}  {', '.join(kept.files.values())}{flaw}" + (
            "  (the piece)" if kept.seed == self.chosen_seed else ""
        )

    def _line(self, candidate: CandidateReport) -> str:
        return (
            ("* " if candidate.seed == self.chosen_seed else "  ")
            + f"{candidate.style_probability:.2f}  quality {candidate.quality:.2f}  round {candidate.round}"
            + f"  seed {candidate.seed}"
            + (f"  {candidate.model}" if len({c.model for c in self.candidates}) > 1 else "")
            + (f"  flaw: {candidate.flaw}" if candidate.flaw else "")
        )


def _roles_there(piece: Composition) -> tuple[str, ...]:
    """The roles that sound, those that were asked for first."""
    there = [track.role for track in piece.score.tracks if len(track)]
    asked = [role for role in piece.request.tracks if role in there]
    return tuple(dict.fromkeys([*asked, *there]))


def report_of(
    piece: Composition, renderer_id: str, command: str, paths: Mapping[str, Path], seconds: float
) -> PieceReport:
    """The report of a piece and the files it was saved in."""
    request, keys = piece.request, piece.score.key_signatures
    return PieceReport(
        style=request.style,
        seed=piece.seed,
        bars=request.bars if request.given is None else num_bars(request.given),
        form=form_of(piece.score.sections) or None,
        qpm=round(piece.score.qpm, 3),
        meter=str(dominant_meter(piece.score if request.given is None else request.given)),
        key=key_name((keys[0].tonic, keys[0].mode), keys[0].fifths) if keys else None,
        tracks=_roles_there(piece),
        midi=str(paths["mid"]) if "mid" in paths else None,
        audio=next((str(path) for kind, path in paths.items() if kind in AUDIO_FORMATS), None),
        files={kind: str(path) for kind, path in paths.items()},
        style_probability=piece.style_probability,
        min_style=piece.min_style,
        accepted=piece.accepted,
        unselected_mean_probability=piece.unselected_mean_probability,
        heard_as=dict(piece.style_scores.top(3)),
        chosen_seed=piece.chosen.seed,
        candidates=tuple(
            CandidateReport(
                c.seed,
                c.round,
                c.style_probability,
                c.log_prob_per_token,
                c.quality,
                c.flaw or None,
                c.model_id,
            )
            for c in piece.candidates
        ),
        turned_down=piece.num_turned_down,
        rounds=piece.rounds,
        seconds=round(seconds, 3),
        model=piece.model_id,
        classifier=piece.classifier_id,
        renderer=renderer_id,
        version=__version__,
        command=command,
        obtained={
            name: Obtained(asked_figures(request)[name], value)
            for name, value in piece.chosen.obtained.items()
        },
    )
