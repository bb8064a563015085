"""Actions of keys and controllers by the name of the move, while a session plays the engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from melodygen.engine.core import Engine
from melodygen.errors import MelodygenError
from melodygen.live.clock import InternalClock
from melodygen.live.player import Player
from melodygen.live.recorder import Recorder
from melodygen.live.session import Session
from melodygen.music.units import bar_quarters

DENSITY_STEP = 0.15
USUAL_DENSITY = 0.5


class LiveActions:
    """Carries out moves. ``styles`` are those that the style moves step through; ``do`` may be called from
    any thread.
    """

    def __init__(
        self,
        engine: Engine,
        session: Session,
        player: Player,
        clock: object,
        recorder: Recorder,
        styles: tuple[str, ...],
        save_bars: int,
        say: Callable[[str], None],
    ) -> None:
        self._engine, self._session, self._player = engine, session, player
        self._clock, self._recorder = clock, recorder
        self._styles, self._save_bars, self._say = styles, save_bars, say
        self._presses: dict[str, Callable[[], None]] = {
            "start": session.toggle,
            "next": engine.next_phrase,
            "loop": lambda: engine.loop_phrase(not engine.status.looping),
            "vary": engine.vary,
            "freeze": lambda: engine.freeze(not engine.status.frozen),
            "undo": engine.undo,
            "style": lambda: self._style(1),
            "style_back": lambda: self._style(-1),
            "denser": lambda: self._denser(DENSITY_STEP),
            "sparser": lambda: self._denser(-DENSITY_STEP),
            "faster": lambda: self._faster(1.0),
            "slower": lambda: self._faster(-1.0),
            "end_call": engine.end_call,
            "save": lambda: threading.Thread(target=self._save, name="melodygen-save").start(),
            "panic": lambda: session.call(player.panic),
            "quit": session.stop,
        }

    def do(self, name: str, value: float) -> None:
        """Carry out a move of ``melodygen.live.moves.MOVES``. What cannot be done is reported, never
        raised.
        """
        try:
            self._do(name, value)
        except (MelodygenError, OSError) as error:
            self._say(str(error))

    def _do(self, name: str, value: float) -> None:
        if name in self._presses:
            self._presses[name]()
        elif name.startswith("mute_"):
            role = name.removeprefix("mute_")
            self._engine.mute(role, role not in self._engine.status.muted)
        elif name == "pick_style":
            index = min(int(value * len(self._styles)), len(self._styles) - 1)
            self._engine.set_parameter("style", self._styles[index])
        else:
            low, high = next(p.span for p in self._engine.parameters() if p.name == name)
            self._engine.set_parameter(name, low + value * (high - low))

    def _style(self, step: int) -> None:
        now = self._engine.parameter_value("style")
        at = self._styles.index(str(now)) if now in self._styles else -1
        style = self._styles[(at + step) % len(self._styles)]
        self._engine.set_parameter("style", style)
        self._say(f"{style} from the next bar line on, as soon as it is written")

    def _denser(self, step: float) -> None:
        now = self._engine.parameter_value("density")
        density = min(max((now if isinstance(now, float) else USUAL_DENSITY) + step, 0.0), 1.0)
        self._engine.set_parameter("density", density)
        self._say(f"density {density:.2f} from the next phrase on")

    def _faster(self, step: float) -> None:
        if isinstance(self._clock, InternalClock):
            self._session.set_qpm(round(self._clock.qpm) + step)
        else:
            self._say("the tempo is that of the clock that is followed")

    def _save(self) -> None:
        bar = bar_quarters(*self._recorder.meter)
        played = self._session.recorded_quarters
        first = max(0.0, (played // bar - self._save_bars) * bar)
        number = 1
        while (path := Path(f"live-{number}.mid")).exists():
            number += 1
        try:
            count = self._recorder.save(path, first)
        except (MelodygenError, OSError) as error:
            self._say(str(error))
        else:
            self._say(f"{path}: the last {self._save_bars} bars, {count} notes")
