"""The engine: written music as a stream of MIDI events under a host's transport, as in a plug-in.

The host calls ``Engine.process`` block by block with its tempo, position, loop and incoming MIDI; the engine
returns at once. A worker writes phrases ahead; they are placed on a timeline of the host's quarters, so that
going back plays the same music again. When the worker is late, the last phrase is repeated or there is a rest
until the next bar line; late notes are never made up for. Everything but ``Engine.process`` may be called
from any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

import numpy as np

from melodygen.engine.call_response import CallResponse
from melodygen.engine.host_controls import HostControls
from melodygen.engine.latency_budget import LatencyBudget
from melodygen.engine.midi_input import Call
from melodygen.engine.parameters import Parameters, Value
from melodygen.engine.phrase import Phrase, Placed, place, rest, without_roles
from melodygen.engine.phrase_queue import PhraseQueue
from melodygen.engine.request_builder import OPENING_BARS, RequestBuilder
from melodygen.engine.status import Status
from melodygen.engine.timeline import Timeline, is_bar_line, next_bar_line
from melodygen.engine.writer import PhraseRequest, Result, Worker, Writer, drained
from melodygen.errors import UsageError
from melodygen.live.playhead import NoteSource, Playhead, SampleOf, Stretch
from melodygen.live.transport import PROGRAM_CHANGE, Block, MidiEvent, Transport
from melodygen.music.score import ROLES

if TYPE_CHECKING:
    from melodygen.engine.block_synth import BlockSynth

CHANNELS: Mapping[str, int] = {"melody": 0, "chords": 1, "bass": 2, "other": 3, "drums": 9}
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0
PHRASES_AHEAD = 2
"""Number of phrases kept ready: the next one, and one for when the writer is held up."""
HURRY_QUARTERS = 0.05
"""A phrase that is written this shortly before its place comes too late."""


class Engine(HostControls, NoteSource):
    """The engine for hosts.

    Args:
        writer: writes the phrases.
        channels: MIDI channel (from 0) of each role; a missing role keeps its default.
        standby: styles of which the idle worker keeps a phrase ready, so that a change to them takes no time.
        offline: the host bounces and may wait, so nothing is ever late.
        first_phrase: a phrase that is there already and is played first, while the writer still loads.
        parameters: start values by name.

    Raises:
        UsageError: the writer knows no style, or a parameter is unknown or out of range.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        channels: Mapping[str, int] | None = None,
        standby: tuple[str, ...] = (),
        offline: bool = False,
        first_phrase: Phrase | None = None,
        **parameters: Value,
    ) -> None:
        if not writer.styles:
            raise UsageError("this writer knows no style; choose another model")
        self._parameters = Parameters(writer.styles, **parameters)
        self._worker = Worker(writer)
        self._channels = {**CHANNELS, **(channels or {})}
        for style in standby:
            self._parameters.parameter("style").check(style)
        self._standby = standby
        self._offline = offline
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._notices: SimpleQueue[str] = SimpleQueue()
        self._synth: BlockSynth | None = None
        self._sample_rate = 48_000.0
        self._samples = 0
        self._head = Playhead(self, self._sample_rate)
        self.status = Status()
        self._loop_named: tuple[float, float] | None = None
        self._timeline = Timeline()
        self._queue = PhraseQueue()
        self._is_loading = first_phrase is not None
        """The writer may still load, so its first phrase does not tell how fast it writes."""
        if first_phrase is not None:
            self._queue.ready.append(first_phrase)
        self._call_response = CallResponse()
        self._builder = RequestBuilder(self._parameters, self._call_response.midi_input)
        self._current: Placed | None = None
        self._programs: dict[int, int] = {}
        self._muted: frozenset[str] = frozenset()
        self._cut = False
        """Go on to another phrase at the next bar line, as soon as there is one."""
        self._is_requested = False
        self._spare_requested: str | None = None
        self._budget = LatencyBudget(self._notices.put)
        self._done_at = 0
        """When the worker was last done with something, in samples."""
        self.refusal = ""
        """Why nothing can ever be written as asked for: a meter, say, that the model does not know."""
        self._retry_at = 0
        self._retry_seconds = RETRY_SECONDS

    # the life of the engine

    def prepare(self, sample_rate: float, block_size: int) -> None:
        """Prepare for blocks; call it before the first one. Sounding notes are forgotten, because the host
        has silenced them.

        Raises:
            UsageError: sample rate or block size are out of range.
        """
        if not 1_000 <= sample_rate <= 768_000:
            raise UsageError(f"a sample rate of {sample_rate:g} Hz is not between 1000 and 768000")
        if not 1 <= block_size <= 1 << 20:
            raise UsageError(f"a block of {block_size} samples is not between 1 and {1 << 20}")
        self._sample_rate = float(sample_rate)
        self._head = Playhead(self, self._sample_rate)
        self._synth = None

    def close(self) -> None:
        """End the worker. The engine must not be used afterwards."""
        self._worker.close()
        if self._synth is not None:
            self._synth.close()

    # the stream

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        """Return the events of this block in order of offset, each 0 to ``block.num_samples - 1``.

        Never blocks unless the engine is ``offline``.
        """
        self._head.out = []
        self._run_commands(transport)
        edges = [(0, transport), *((min(max(o, 0), block.num_samples), t) for o, t in block.changes)]
        for index, (first, now) in enumerate(edges):
            stop = edges[index + 1][0] if index + 1 < len(edges) else block.num_samples
            self._receive(now, block, first, stop)
            if now.is_playing:
                self._check_loop(now)
            self._head.segment(now, first, stop)
        self._samples += block.num_samples
        last = edges[-1][1]
        if not self._offline:
            self._request_ahead(last)
        self._update_status(last)
        return self._head.out

    def render_block(self, transport: Transport, block: Block) -> np.ndarray:
        """Return the sound of this block, float32 (2, num_samples): ``process`` played by a small built-in
        sampler.

        ``last_events`` holds the same events.
        """
        if self._synth is None:
            from melodygen.engine.block_synth import (
                BlockSynth,
            )  # a second of imports that most hosts do not need

            self._synth = BlockSynth(self._sample_rate, self._offline)
        events = self.process(transport, block)
        return self._synth.render(events, block.num_samples)

    @property
    def last_events(self) -> list[MidiEvent]:
        """The events of the last block."""
        return self._head.out

    @property
    def num_written(self) -> Mapping[str, int]:
        """How many phrases were written with how many candidates, and how many without classifying."""
        return self._budget.num_written

    @property
    def is_ready(self) -> bool:
        """Whether a phrase waits to be played, so that starting now starts with music."""
        return bool(self._queue.ready) or bool(self._timeline)

    # what the playhead reads

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        """Return what the playhead plays; see ``NoteSource``. Places what is missing."""
        self._answer_if_due(cursor, sample, transport)
        can_follow = self._offline or self._queue.has(transport.meter)
        if self._cut and can_follow and is_bar_line(transport, cursor, grain):
            self._cut = False
            self._head.release(sample(cursor))
            self._timeline.cut(cursor)
        placed = self._timeline.at(cursor, grain, self._feel()) or self._lay(transport, cursor, grain)
        until = placed.end
        if self._cut:
            until = next_bar_line(transport, cursor, grain) - grain
        if self._call_response.due is not None:
            until = min(until, math.floor(cursor + grain) + 1.0 - grain)
        self._enter(placed, sample(max(placed.start, cursor)))
        return placed, until

    def channel_of(self, voice: int) -> int | None:
        """See ``NoteSource``."""
        role = ROLES[voice]
        return None if role in self._muted else self._channels[role]

    def _enter(self, placed: Placed, offset: int) -> None:
        """Send the instruments of a phrase that begins, where they differ from those that are set."""
        if placed is self._current:
            return
        self._current = placed
        self._queue.enter(placed.phrase is not None)
        if placed.phrase is None or not self._parameters["program_changes"]:
            return
        for role, program in placed.phrase.programs.items():
            channel = self._channels[role]
            if self._programs.get(channel) != program:
                self._programs[channel] = program
                self._head.out.append(MidiEvent(offset, (PROGRAM_CHANGE | channel, program)))

    def _check_loop(self, transport: Transport) -> None:
        """Report once that a loop does not hold whole bars; it is played as it is."""
        if transport.loop == self._loop_named or transport.loop is None:
            return
        self._loop_named = transport.loop
        bars = (transport.loop[1] - transport.loop[0]) / transport.bar_quarters
        if abs(bars - round(bars)) > 1e-6:
            self._notices.put(f"the host loops {bars:.3g} bars, not whole ones: phrases are cut at its end")

    # laying

    def _lay(self, transport: Transport, cursor: float, grain: float) -> Placed:
        """Place the next phrase, a repeat or a rest where the timeline is empty."""
        start = next_bar_line(transport, cursor, grain) - transport.bar_quarters
        earlier, later = self._timeline.around(cursor, grain)
        if self._parameters["mode"] == "answer":  # an answer may come on any quarter
            return self._timeline.put(rest(cursor, min(math.floor(cursor + grain) + 1.0, later)))
        phrase = self._queue.follow(transport.meter)
        if phrase is None and self._offline:
            self._write_now(transport)
            phrase = self._queue.follow(transport.meter)
        if phrase is None:
            phrase = self._queue.fill_gap(transport.meter, self._parameters["late"] == "repeat")
        if phrase is None:
            return self._timeline.put(rest(cursor, min(start + transport.bar_quarters, later)))
        placed = self._without_given(place(phrase, start, *self._feel()))
        return self._timeline.put(replace(placed, start=max(start, earlier), end=min(placed.end, later)))

    def _write_now(self, transport: Transport) -> None:
        result = self._worker.now(self._builder.next(transport, self._queue.newest))
        if result.phrase is not None and result.phrase.meter == transport.meter:
            self._queue.ready.append(result.phrase)
        else:
            self._notices.put(f"no phrase: {result.error or 'the model wrote another meter'}")

    def _without_given(self, placed: Placed) -> Placed:
        """Return the phrase without the roles that the player plays."""
        request = None if placed.phrase is None else placed.phrase.request
        if request is None or request.given is None or self._parameters["mode"] != "accompany":
            return placed
        return without_roles(placed, request.given_roles)

    def _feel(self) -> tuple[float, float]:
        return self._parameters.number("swing"), self._parameters.number("humanize")

    # commands, run by process() in its own thread

    def _run_commands(self, transport: Transport) -> None:
        for command in drained(self._commands):
            command()
        while (result := self._worker.poll()) is not None:
            self._accept(result, transport)

    def _leave(self) -> None:
        self._cut = self._queue.leaving = True

    def _rewrite(self) -> None:
        """Drop what was written for other parameters."""
        self._worker.drop()
        self._builder.version += 1
        self._queue.ready.clear()
        self._queue.spares.clear()
        self._call_response.forget()
        self._is_requested, self._spare_requested, self._retry_at = False, None, 0

    def _change_style(self) -> None:
        spares = dict(self._queue.spares)
        self._rewrite()
        spare = spares.pop(str(self._parameters["style"]), None)
        self._queue.spares = spares
        if spare is not None:
            self._queue.ready.append(spare)
        if self._queue.current is not None:
            self._leave()

    def _mute(self, role: str, on: bool) -> None:
        self._muted = self._muted | {role} if on else self._muted - {role}
        if on:
            self._head.release(0, self._channels[role])

    def _vary(self) -> None:
        if self._queue.current is not None:
            self._post(self._builder.variation(self._queue.current))

    def _undo(self) -> None:
        if self._queue.undo():
            self._leave()

    # requests to the writer

    def _request_ahead(self, transport: Transport) -> None:
        """Keep some phrases ready beyond what is laid; then the spare ones."""
        queue = self._queue
        if queue.frozen or self._is_requested or self._samples < self._retry_at:
            return
        if self._parameters["mode"] == "answer":
            return
        # what accompanies is written to what was heard last, so not long ahead
        wanted = 1 if self._parameters["mode"] == "accompany" else PHRASES_AHEAD
        if sum(p.request.bars for p in queue.ready) < wanted * self._parameters.number("bars_per_phrase"):
            self._is_requested = True
            must_begin = not queue.ready and (self._cut or queue.current is None)
            is_long = self._parameters.number("bars_per_phrase") > OPENING_BARS
            has_opening = self._parameters["opening"] and is_long
            if must_begin and has_opening:
                self._post(self._builder.opening(transport, queue.newest))
            else:
                following = self._builder.next(transport, queue.newest)
                playing = following.quarters * 60.0 / transport.qpm
                # what must begin is waited for
                ahead = math.inf if must_begin else self._seconds_ahead(transport)
                self._post(self._budget.in_time(following, playing, ahead, bool(self._parameters["opening"])))
        elif self._spare_requested is None:
            missing = [s for s in self._standby if s not in queue.spares and s != self._parameters["style"]]
            if missing:
                self._spare_requested = missing[0]
                spare = self._builder.spare(transport, queue.current, missing[0])
                playing = spare.quarters * 60.0 / transport.qpm
                self._post(self._budget.speed.fit(spare, playing, may_be_unheard=False))

    def _post(self, task: PhraseRequest) -> None:
        self._worker.post(replace(task, posted=self._samples))

    def _seconds_ahead(self, transport: Transport) -> float:
        """How long what is written lasts."""
        quarters = sum(p.length_quarters for p in self._queue.ready)
        if self._head.is_playing:
            now, grain = self._head.expected, 1e-6
            end = next_bar_line(transport, now, grain) if self._cut else self._timeline.reach(now, grain)
            quarters += end - now
        return quarters * 60.0 / transport.qpm

    def _accept(self, result: Result, transport: Transport) -> None:
        purpose, phrase = result.task.purpose, result.phrase
        if phrase is not None:
            begun = max(result.task.posted, self._done_at)
            if not self._is_loading:
                self._budget.speed.learn(result.task, (self._samples - begun) / self._sample_rate)
            self._is_loading = False
        self._done_at = self._samples
        if purpose == "spare":
            self._spare_requested = None
            if phrase is not None and result.task.version == self._builder.version:
                self._queue.spares[phrase.request.style] = phrase
            return
        if result.task.version != self._builder.version:
            return
        if purpose in ("next", "opening"):
            self._is_requested = False
        if result.abandoned:
            return
        if phrase is None:
            request = result.task.request
            is_plain = request.given is None and request.prompt is None
            if result.is_hopeless and is_plain and self._queue.newest is None:
                self.refusal = result.error
            self._notices.put(f"no phrase written: {result.error}")
            self._retry_at = self._samples + round(self._retry_seconds * self._sample_rate)
            self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS)
            return
        self._retry_seconds = RETRY_SECONDS
        if phrase.meter != transport.meter:
            given = f"{phrase.meter[0]}/{phrase.meter[1]}"
            self._notices.put(f"a phrase in {given} was dropped: the host plays {transport.meter}")
        elif purpose == "vary":
            self._queue.ready.appendleft(phrase)
            self._queue.leaving = True
        elif purpose == "more":
            self._answer_goes_on(phrase)
        elif purpose.startswith("answer"):
            self._call_response.take(result.task, phrase)
        else:
            self._budget.count(result.task)
            self._queue.ready.append(phrase)

    # call and response

    def _receive(self, transport: Transport, block: Block, first: int, stop: int) -> None:
        midi_input = self._call_response.midi_input
        per_quarter = transport.samples_per_quarter(self._sample_rate)
        for offset, message in block.midi_in:
            if first <= offset < stop or (offset >= stop == block.num_samples):
                midi_input.receive(transport.position_quarters + (offset - first) / per_quarter, message)
        if self._parameters["mode"] != "answer":
            midi_input.drop_call()
        elif transport.is_playing:
            end = transport.position_quarters + (stop - first) / per_quarter
            draft = self._call_response.advance(end, self._parameters.number("answer_rest"))
            if draft is not None:
                if self._call_response.has_draft:  # else what is in hand is better than nothing
                    self._worker.drop()
                self._answer(draft, transport)

    def _answer(self, call: Call, transport: Transport) -> None:
        task = self._builder.answer(call, transport, self._queue.current)
        self._call_response.asked(task, call)
        self._post(task)

    def _answer_if_due(self, cursor: float, sample: SampleOf, transport: Transport) -> None:
        """Begin the answer on a quarter as soon as it is written; if the player goes on, there is no
        answer.
        """
        call = self._call_response.due
        if call is None or abs(cursor - round(cursor)) > 1e-6:
            return
        if self._call_response.midi_input.is_playing:
            self._call_response.due = None
            return
        if self._offline and not self._call_response.has_draft:
            task = self._builder.answer(call, transport, self._queue.current)
            self._call_response.asked(task, call)
            phrase = self._worker.now(task).phrase
            if phrase is not None:
                self._call_response.take(task, phrase)
        phrase = self._call_response.answer()
        if phrase is None:
            return
        self._head.release(sample(cursor))
        self._timeline.cut(cursor)
        self._queue.remember(phrase)
        self._timeline.put(place(phrase, cursor, *self._feel()))
        more = self._builder.rest_of_answer(call, phrase, transport)
        if more is None:
            return
        if not self._offline:
            self._worker.drop()
            playing, ahead = (q * 60.0 / transport.qpm for q in (more.quarters, phrase.length_quarters))
            self._post(self._budget.speed.fit(more, playing, ahead))
        elif (rest_of_it := self._worker.now(more).phrase) is not None:
            self._answer_goes_on(rest_of_it)

    def _answer_goes_on(self, phrase: Phrase) -> None:
        """Place the rest of an answer behind its opening, if the opening still plays."""
        opening = self._queue.current
        end = None if opening is None else self._timeline.end_of(opening)
        if end is not None and self._head.expected < end - HURRY_QUARTERS:
            self._queue.remember(phrase)
            self._timeline.put(place(phrase, end, *self._feel()))

    def _update_status(self, transport: Transport) -> None:
        phrase = self._current.phrase if self._current is not None else None
        queue = self._queue
        self.status = Status(
            self._head.expected if self._head.is_playing else transport.position_quarters, transport.qpm,
            queue.state if transport.is_playing else "stopped",
            phrase.request.style if phrase is not None else str(self._parameters["style"]),
            queue.num_laid, phrase.style_probability if phrase is not None else None,
            len(queue.ready), tuple(sorted(queue.spares)), tuple(sorted(self._muted)),
            queue.looping, queue.frozen, queue.num_repeats, queue.num_gaps, self._budget.hurry,
            phrase is not None and phrase.is_stored,
        )  # fmt: skip
