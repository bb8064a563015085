"""Open Sound Control for Max, Pd and SuperCollider: generate, play, and drive a live session. On this machine alone.

    /melodygen/generate STYLE [NAME VALUE]...   -> /melodygen/job ID, /melodygen/candidate ID NUMBER STYLE QUALITY SEED,
                                                   /melodygen/done ID CHOSEN SEED, /melodygen/error TEXT
    /melodygen/notes ID NUMBER                  -> /melodygen/note ROLE ONSET DURATION PITCH VELOCITY, /melodygen/end
    /melodygen/play ID NUMBER PORT
    /melodygen/live/start STYLE PORT [NAME VALUE]...
    /melodygen/live/next, /melodygen/live/MOVE [VALUE]
    /melodygen/live/set NAME VALUE [NAME VALUE]...
    /melodygen/live/status                      -> /melodygen/status STATE BAR BEAT QPM STYLE PHRASE
    /melodygen/live/stop, /melodygen/stop

Answers go to the address a message came from, or to port ``reply_port`` there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_server import BlockingOSCUDPServer

from melodygen.errors import MelodygenError, UsageError
from melodygen.server.jobs import DONE, ENDED, Job
from melodygen.server.live_routes import LiveQuestion, PlayQuestion, live_show, piece_show
from melodygen.server.studio import Studio
from melodygen.server.work_routes import submit_generate

ADDRESS = "127.0.0.1"
POLL_SECONDS = 0.05
Reply = Callable[..., None]


class OscServer:
    """Listens on a UDP port of the loopback address until it is closed. Raises UsageError for a port that is taken."""

    def __init__(self, studio: Studio, port: int, reply_port: int | None = None) -> None:
        self._studio, self._reply_port = studio, reply_port
        dispatcher = Dispatcher()
        acts: dict[str, Callable[..., None]] = {
            "generate": self._generate, "notes": self._notes, "play": self._play, "stop": self._stop,
            "live/start": self._start, "live/stop": self._stop, "live/set": self._set, "live/status": self._status,
        }  # fmt: skip
        for name, act in acts.items():
            dispatcher.map(f"/melodygen/{name}", self._handler(act), needs_reply_address=True)
        dispatcher.set_default_handler(self._handler(self._move, True), needs_reply_address=True)
        try:
            self._server = BlockingOSCUDPServer((ADDRESS, port), dispatcher)
        except OSError as error:
            raise UsageError(f"OSC port {port} cannot be used: {error.strerror}; choose another") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="melodygen-osc", daemon=True)

    def start(self) -> None:
        """Listen, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Listen no longer."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self, act: Callable[..., None], wants_address: bool = False) -> Callable[..., None]:
        def handle(client: tuple[str, int], address: str, *values: Any) -> None:
            def reply(name: str, *answer: Any) -> None:
                target = (client[0], self._reply_port or client[1])
                self._server.socket.sendto(build_msg(f"/melodygen/{name}", list(answer)).dgram, target)

            try:
                act(reply, *((address,) if wants_address else ()), *values)
            except (MelodygenError, ValidationError, TypeError, ValueError) as error:
                reply("error", self._studio.clean(_line(error)))

        return handle

    def _generate(self, reply: Reply, style: str, *rest: Any) -> None:
        studio = self._studio
        job = submit_generate(studio, {"style": style, **_pairs(rest)})
        reply("job", job.id)
        threading.Thread(
            target=self._follow, args=(reply, job), name="melodygen-osc-job", daemon=True
        ).start()

    def _follow(self, reply: Reply, job: Job) -> None:
        """Tell of each candidate as it is heard, and of the end."""
        studio, after = self._studio, 0
        while True:
            state = studio.jobs.get(job.id)
            for event in studio.jobs.events(job.id, after):
                after, data = event.number, event.data
                if event.kind == "candidate":
                    reply(
                        "candidate",
                        job.id,
                        data["number"],
                        data["style_probability"],
                        data["quality"],
                        str(data["seed"]),
                    )
            if state.state in ENDED:
                break
            time.sleep(POLL_SECONDS)
        if state.state == DONE and state.result is not None:
            reply("done", job.id, state.result["chosen"], str(state.result["seed"]))
        else:
            reply("error", state.error or state.state)

    def _notes(self, reply: Reply, job_id: str, number: int) -> None:
        events = [e.data for e in self._studio.jobs.events(str(job_id)) if e.kind == "candidate"]
        score = next((data["score"] for data in events if data["number"] == number), None)
        if score is None:
            raise UsageError(f"job {job_id} has no candidate {number}")
        for track in score["tracks"]:
            for onset, duration, pitch, velocity in track["notes"]:
                reply("note", track["role"], onset, duration, pitch, velocity)
        reply("end", job_id, number)

    def _play(self, reply: Reply, job_id: str, number: int, port: str) -> None:
        question = PlayQuestion(source=f"job:{job_id}/{number}", port=port)
        self._studio.performer.start(piece_show(self._studio, question))
        self._status(reply)

    def _start(self, reply: Reply, style: str, port: str, *rest: Any) -> None:
        values = _pairs(rest)
        own = {
            name: values.pop(name)
            for name in ("qpm", "meter", "count_in", "clock_out", "listen")
            if name in values
        }
        question = LiveQuestion(style=style, port=port, parameters=values, **own)
        self._studio.performer.start(live_show(self._studio, question))
        self._status(reply)

    def _stop(self, reply: Reply) -> None:
        self._studio.performer.stop()
        self._status(reply)

    def _set(self, reply: Reply, *rest: Any) -> None:
        self._studio.performer.set_parameters(_pairs(rest))

    def _move(self, reply: Reply, address: str, *values: Any) -> None:
        name = address.removeprefix("/melodygen/live/")
        if "/" in name:
            raise UsageError(f"{address} is not known; moves are /melodygen/live/NAME")
        self._studio.performer.move(name, float(values[0]) if values else 1.0)

    def _status(self, reply: Reply) -> None:
        found = self._studio.performer.status()
        reply(
            "status", found["state"], found.get("bar", 0), found.get("beat", 0), float(found.get("qpm", 0.0)),
            found.get("style", ""), found.get("phrase", 0),
        )  # fmt: skip


def _pairs(values: Sequence[Any]) -> dict[str, Any]:
    """Names and values in turn. Raises UsageError for a name without a value."""
    if len(values) % 2:
        raise UsageError(f"{values[-1]!r} stands alone: give names and values in turn")
    return {str(name): value for name, value in zip(values[::2], values[1::2], strict=True)}


def _line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0]
