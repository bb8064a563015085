"""JACK's transport as a clock, with a server in simulated time."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from melodygen.live import jack_library, jack_transport
from melodygen.live.jack_library import FrameClock, wrapped


class Server:
    """A JACK server with periods of 256 frames, as a client sees it. Its transport rolls; now and then it all
    stands still."""

    samplerate = 48_000

    def __init__(self, lead: float, stalls: dict[int, float]) -> None:
        self.lead, self.stalls = lead, stalls
        self.now, self.frame, self.transport, self._due = 0.0, 0, 0, 0.0

    def until(self, now: float) -> None:
        """Run the periods that begin before ``now``."""
        self.now = now
        while self._due <= now:
            self.frame += 256
            self.transport += 256
            self._due += 256 / 48_000 + self.stalls.get(self.frame, 0.0)

    @property
    def last_frame_time(self) -> int:
        return (self.frame + 2**32 - 70_000) % 2**32

    def transport_query(self) -> tuple[str, dict[str, float]]:
        usecs = (self._due - 256 / 48_000 + self.lead) * 1e6
        return "rolling", {"frame": self.transport, "frame_rate": 48_000, "usecs": usecs}

    def set_shutdown_callback(self, callback: object) -> None: ...

    def activate(self) -> None: ...


class Watch(FrameClock):
    """Reads the simulated server's clock."""

    def __init__(self, server: Server) -> None:
        super().__init__(lambda: server.now)
        self._server = server

    def _lead(self) -> float:
        return self._server.lead


def follow(monkeypatch: pytest.MonkeyPatch, server: Server) -> tuple[jack_transport.JackClock, FrameClock]:
    monkeypatch.setattr(jack_library, "load_jack", lambda: SimpleNamespace(ROLLING="rolling"))
    monkeypatch.setattr(jack_transport, "open_client", lambda name: server)
    frames = Watch(server)
    return jack_transport.JackClock(120.0, frames), frames


@pytest.mark.parametrize("lead", [0.0, 0.31, -7.5, 1e5])
def test_a_jack_server_that_stands_still_does_not_move_the_transport(
    monkeypatch: pytest.MonkeyPatch, lead: float
) -> None:
    """Its clock drifts against ours, and frames, counted in 32 bits, begin again meanwhile."""
    server = Server(lead, {256 * n: 0.08 for n in range(300, 2000, 300)})
    clock, frames = follow(monkeypatch, server)
    for step in range(2500):
        server.until(1.0 + 0.004 * step)
        server.lead = lead + 1e-4 * server.now
        clock.watch(server.now)
        ahead = server.now + 0.02
        note = clock.position(ahead)  # what is played then has to lie on this frame
        assert wrapped(frames.frame_at(ahead) - server.last_frame_time) == pytest.approx(
            note * 24_000 - server.transport, abs=1
        )
    assert clock.epoch == 1, "no jumps are seen where there are none"


def test_late_periods_do_not_move_the_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third period is 4 ms late, as on a busy machine."""
    server = Server(0.0, {})
    clock, frames = follow(monkeypatch, server)
    server.until(1.0)
    clock.watch(server.now)
    first = frames.frame_at(1.0)
    for step in range(1, 1000):
        server.until(1.0 + 0.004 * step)
        server.lead = 0.004 * (step % 3 == 0)
        frames._take(server.last_frame_time, server._due - 256 / 48_000 + server.lead)
        assert wrapped(frames.frame_at(1.0) - first) == pytest.approx(0, abs=1)


def test_a_jump_of_jack_is_seen_to_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(0.0, {})
    clock, _ = follow(monkeypatch, server)
    for step, jump in enumerate((0, 0, 2_400, 0, -2_400, 0)):  # 50 ms on and back
        server.until(1.0 + step)
        server.transport += jump
        clock.watch(server.now)
        assert clock.epoch == 1 + (step >= 2) + (step >= 4)
