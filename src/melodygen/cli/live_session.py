"""What ``live`` and ``play`` share: opening ports, ending well on signals, the line that shows where it is."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from melodygen.live.player import Player
    from melodygen.live.ports import MidiOutput, Port
    from melodygen.live.session import Session

VIRTUAL_NAME = "melodygen"
LINE_SECONDS = 0.2


@contextmanager
def open_outputs(
    ports: list[str], virtual: str | None, channels: dict[str, int], per_role: bool = False
) -> Iterator[tuple[MidiOutput, list[Port]]]:
    """The port that was asked for, or several: ``drums=NAME`` sends a role to a port of its own, and ``per_role`` opens
    a virtual one for each role without such a port. They are guarded, and closed in the end with all that is added to
    the list."""
    from melodygen.errors import UsageError
    from melodygen.live.guard import Guard
    from melodygen.live.jack_library import FrameClock
    from melodygen.live.jack_output import is_jack
    from melodygen.live.outputs import open_output, open_own
    from melodygen.live.ports import RoutedOutput
    from melodygen.music.score import ROLES

    main: list[str] = []
    by_role: dict[str, str] = {}
    for port in ports:
        role, is_routed, name = port.partition("=")
        if is_routed and role in ROLES:
            by_role[role] = name
        else:
            main.append(port)
    if len(main) + (virtual is not None) != 1:
        raise UsageError(
            "say where the music goes: --port NAME (see 'melodygen ports') or --virtual; "
            "more ports only as --port ROLE=NAME"
        )
    kinds = {is_jack(name) for name in (*main, *by_role.values(), *([virtual] if virtual else []))}
    if len(kinds) > 1:
        raise UsageError(
            "JACK's own ports keep another time than the system's: name all ports as jack:NAME, or none"
        )
    opened: list[Port] = []
    frames = FrameClock() if True in kinds else None
    guard = None
    try:
        output = open_output(main[0], VIRTUAL_NAME, frames) if main else open_own(virtual or VIRTUAL_NAME)
        opened.append(output)
        routes: dict[int, MidiOutput] = {}
        for role, name in by_role.items():
            routed = open_output(name, f"{VIRTUAL_NAME} {role}", frames)
            opened.append(routed)
            routes[channels[role]] = routed
        for role in channels if per_role else ():
            if channels[role] not in routes:
                own = open_own(f"{virtual or VIRTUAL_NAME} {role}", frames)
                opened.append(own)
                routes[channels[role]] = own
        guard = Guard([p.name for p in opened if not p.is_virtual])
        yield RoutedOutput(output, routes) if routes else output, opened
    finally:
        for open_port in opened:
            open_port.close()
        if guard is not None:
            guard.close()


@contextmanager
def watch_ports(
    ports: Sequence[Port], session: Session, player: Player, say: Callable[[str], None]
) -> Iterator[None]:
    """Say when a port goes and comes, when a cable is pulled and put back, and who else plays to a port. What is back
    is silenced first, for what it may still sound."""
    from melodygen.live.hotplug import PortWatch
    from melodygen.live.jack_output import JackOutput
    from melodygen.live.port_claim import claimed

    def changed(port: Port, there: bool) -> None:
        if port.is_output:
            session.call(player.silence if there else player.lose)
        say(f"port {port.name!r} is back" if there else f"port {port.name!r} is gone: waiting for it")

    pulled: set[str] = set()

    def cable(other: str, is_in: bool) -> None:
        if is_in and other in pulled:
            pulled.remove(other)
            session.call(player.silence)
            say(f"{other!r} is connected again; what it still sounded is ended")
        elif is_in:
            say(f"{other!r} is connected")
        else:
            pulled.add(other)
            session.call(player.remember_sounding)
            say(f"the cable to {other!r} is pulled: it hears nothing until it is connected again")

    with ExitStack() as held:
        for port in ports:
            if isinstance(port, JackOutput):
                port.on_cable = cable
            if port.is_output and not port.is_virtual and not held.enter_context(claimed(port.name)):
                say(f"another melodygen plays to {port.name!r}, so the two mix; stop one or use another port")
        held.enter_context(PortWatch(ports, changed))
        yield


@contextmanager
def signals_stop(session: Session) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and a closed terminal stop the session instead of raising somewhere in it. Yields the signals
    that have come."""
    came: list[int] = []
    wanted = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]

    def stop(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        session.stop()

    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_as_told(signals: list[int]) -> None:
    """End with 128 and the number of the first signal, 130 after Ctrl-C, as every command does; nothing without one."""
    if signals:
        raise typer.Exit(128 + signals[0])


class Line:
    """A line at the bottom of the terminal that is rewritten; sayings go above it. Silent when ``quiet``."""

    def __init__(self, show: Callable[[], str], quiet: bool) -> None:
        self._show, self._quiet = show, quiet
        self._is_terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="melodygen-line", daemon=True)

    def say(self, text: str) -> None:
        """Print a message above the line."""
        if self._quiet:
            return
        with self._lock:
            print(f"\r\033[K{text}" if self._is_terminal else text, file=sys.stderr, flush=True)

    def say_all(self, texts: list[str]) -> None:
        """Print several messages above the line."""
        for text in texts:
            self.say(text)

    def __enter__(self) -> Line:
        if self._is_terminal and not self._quiet:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _run(self) -> None:
        while not self._ending.wait(LINE_SECONDS):
            with self._lock:
                print(f"\r\033[K{self._show()}", end="", file=sys.stderr, flush=True)
