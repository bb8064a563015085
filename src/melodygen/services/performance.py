"""What plays in time: the engine with all that it plays through, and files made ready to be played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melodygen.engine import Engine, Writer
from melodygen.engine.actions import LiveActions
from melodygen.engine.core import CHANNELS
from melodygen.engine.parameters import Parameters
from melodygen.engine.phrase import Phrase
from melodygen.engine.stored_opening import stored_opening
from melodygen.errors import MidiReadError
from melodygen.io.midi_document import read_midi_document
from melodygen.io.read import is_notation, read_score
from melodygen.live.clock import Clock
from melodygen.live.document_processor import DocumentProcessor
from melodygen.live.player import LATE_SECONDS, Player
from melodygen.live.ports import MidiOutput
from melodygen.live.recorder import Recorder
from melodygen.live.score_processor import ScoreProcessor
from melodygen.live.session import Session, SessionOptions
from melodygen.music.score import Score
from melodygen.parsing import check_style
from melodygen.registry import list_styles
from melodygen.request import CONTROLS, Request
from melodygen.services.models import random_seed, style_of


@dataclass(frozen=True)
class LiveMusic:
    """What shall be played, all checked: parameters of the engine, styles kept ready, tempo, meter, and a phrase that
    is played first, while the writer loads."""

    parameters: Mapping[str, Any]
    standby: tuple[str, ...]
    qpm: float
    meter: tuple[int, int]
    first_phrase: Phrase | None = None


class LivePerformance:
    """An engine that writes, the session that plays it, and the recorder that keeps what was played.

    Args:
        writer: writes the phrases.
        music: what is played.
        output: where the music goes.
        clock: says where it stands.
        options: of the session.
        keep_all: record the whole take, not only the last bars.
        channels: MIDI channel (from 0) of each role.
        late_seconds: a note that is later is left out; see ``Player``.
    """

    def __init__(
        self,
        writer: Writer,
        music: LiveMusic,
        output: MidiOutput,
        clock: Clock,
        options: SessionOptions,
        *,
        keep_all: bool = False,
        channels: Mapping[str, int] = CHANNELS,
        late_seconds: float = LATE_SECONDS,
    ) -> None:
        self._styles, self._clock = writer.styles, clock
        self.engine = Engine(
            writer,
            channels=channels,
            standby=music.standby,
            first_phrase=music.first_phrase,
            **music.parameters,
        )
        self.recorder = Recorder(keep_all, {channel: role for role, channel in channels.items()})
        self.player = Player(output, late_seconds=late_seconds)
        self.session = Session(self.engine, self.player, clock, options, recorder=self.recorder)

    def actions(self, save_bars: int, say: Callable[[str], None]) -> LiveActions:
        """What carries out the moves of ``live.moves.MOVES``."""
        return LiveActions(
            self.engine, self.session, self.player, self._clock, self.recorder, self._styles, save_bars, say
        )


def check_live_music(
    parameters: Mapping[str, Any],
    standby: tuple[str, ...],
    qpm: float | None,
    meter: str | None,
    model: object,
) -> LiveMusic:
    """With the style's tempo, meter and tracks where none are given, and a random seed.

    Raises UsageError for what cannot be; styles of a ``model`` that was named are checked when it is loaded.
    """
    style = str(parameters["style"])
    for name in (style, *standby) if model is None else ():
        check_style(name, list_styles())
    usual = style_of(style)
    tempo = CONTROLS["qpm"].check(usual.qpm if qpm is None else qpm)
    checked = {"tracks": usual.tracks, "seed": random_seed(), **parameters}
    Parameters((style,), **checked)
    return LiveMusic(checked, standby, tempo, CONTROLS["meter"].check(meter) or usual.meter)


def opening_of(music: LiveMusic) -> Phrase | None:
    """A stored phrase that is what the music begins with; None where the music is not to begin at once, or no stored
    phrase is what is asked for."""
    parameters = Parameters((str(music.parameters["style"]),), **music.parameters)
    if parameters["mode"] != "play" or not parameters["opening"]:
        return None
    request = Request(**parameters.request_controls(), bars=1, qpm=music.qpm, meter=music.meter)
    return stored_opening(request, round(parameters.number("seed")))


def read_playable(path: Path) -> tuple[DocumentProcessor | ScoreProcessor, Score, tuple[str, ...]]:
    """What plays a file, its score, and what the reader mended. MidiReadError for a file without notes."""
    processor: DocumentProcessor | ScoreProcessor
    warnings: tuple[str, ...] = ()
    if is_notation(path):
        score = read_score(path)
        processor = ScoreProcessor(score)
    else:
        document = read_midi_document(path)
        score, processor, warnings = document.score, DocumentProcessor(document), tuple(document.warnings)
    if not score.num_notes:
        raise MidiReadError(f"{path}: there is no note in the file")
    return processor, score, warnings


__all__ = ["LiveMusic", "LivePerformance", "check_live_music", "opening_of", "read_playable"]
