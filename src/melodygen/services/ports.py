"""Opening the MIDI ports that a session plays to, and watching them while it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from melodygen.live.player import Player
    from melodygen.live.ports import MidiOutput, Port
    from melodygen.live.session import Session

VIRTUAL_NAME = "melodygen"


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
    from melodygen.live.outputs import open_output, open_own
    from melodygen.live.ports import RoutedOutput, is_jack
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


def playing_priority(is_asked: bool | None, ports: Sequence[Port]) -> int:
    """Return the real-time priority of the playing thread, 0 for none.

    Args:
        is_asked: whether the user asks for it; None takes what the ports' system does: clients of a JACK server that
            runs in real time do so too, and with an ordinary priority a busy machine would hold them up.
        ports: the open ports.
    """
    from melodygen.live.jack_output import JackOutput
    from melodygen.live.priority import PRIORITY

    of_jack = max((port.realtime_priority for port in ports if isinstance(port, JackOutput)), default=0)
    if is_asked is None:
        return of_jack
    return (of_jack or PRIORITY) if is_asked else 0


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


__all__ = ["VIRTUAL_NAME", "open_outputs", "playing_priority", "watch_ports"]
