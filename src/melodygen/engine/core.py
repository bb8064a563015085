"""The engine: written music as a stream of MIDI events under a host's transport, as a plug-in gives it.

The host calls :meth:`Engine.process` block by block with its tempo, position, loop and incoming MIDI; the engine
answers at once. Phrases are written ahead by a worker and laid on a timeline of the host's quarters, so that going
back plays the same again. When the worker is late, the last phrase is repeated or there is a rest until the next bar
line; what is past is never made up for. Everything but :meth:`Engine.process` may be called from any thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

import numpy as np

from melodygen.asking import MAX_QPM, MIN_QPM, parse_key
from melodygen.contracts import Request
from melodygen.engine.listening import Call, Listener
from melodygen.engine.parameters import Parameter, Parameters, Value
from melodygen.engine.phrase import Phrase, Placed, place, rest
from melodygen.engine.sound import BlockSynth
from melodygen.engine.writer import Order, Result, Worker, Writer
from melodygen.errors import UsageError
from melodygen.live.playhead import Playhead, SampleOf, Source, Stretch
from melodygen.live.transport import PROGRAM_CHANGE, Block, MidiEvent, Transport
from melodygen.score import ROLES

CHANNELS: Mapping[str, int] = {"melody": 0, "chords": 1, "bass": 2, "other": 3, "drums": 9}
MAX_PLACED = 64
"""How much of the timeline is kept: going back further writes anew."""
MAX_HISTORY = 16
FROZEN_PHRASES = 4
"""How many of the last phrases go round while frozen."""
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Status:
    """What the engine did in the last block. ``state``: stopped, playing, repeating, resting, waiting."""

    position_quarters: float = 0.0
    qpm: float = 120.0
    state: str = "stopped"
    style: str = ""
    phrase_number: int = 0
    style_probability: float | None = None
    num_ready: int = 0
    muted: tuple[str, ...] = ()
    looping: bool = False
    frozen: bool = False
    num_repeats: int = 0
    """How often a phrase was repeated because the next was not written in time."""
    num_gaps: int = 0
    """Rests since the music began, because nothing was written in time."""


class Engine(Source):
    """Plug-in style face of melodygen. ``offline``: the host bounces and may wait, so nothing is ever late.

    ``channels`` maps a role to a MIDI channel from 0. ``standby``: styles of which the idle worker keeps a phrase
    ready, so that changing to them takes no time. ``parameters`` are start values by name.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        channels: Mapping[str, int] | None = None,
        standby: tuple[str, ...] = (),
        offline: bool = False,
        **parameters: Value,
    ) -> None:
        if not writer.styles:
            raise UsageError("this writer knows no style; choose another model")
        self._parameters = Parameters(writer.styles, **parameters)
        self._worker = Worker(writer)
        self._channels = {**CHANNELS, **(channels or {})}
        self._standby = standby
        self._offline = offline
        self._commands: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._notices: SimpleQueue[str] = SimpleQueue()
        self._listener = Listener()
        self._synth: BlockSynth | None = None
        self._sample_rate = 48_000.0
        self._samples = 0
        self._head = Playhead(self, self._sample_rate)
        self.status = Status()
        self._loop_named: tuple[float, float] | None = None
        # the timeline
        self._timeline: list[Placed] = []
        self._current: Placed | None = None
        self._state = "stopped"
        self._programs: dict[int, int] = {}
        self._muted: frozenset[str] = frozenset()
        self._cut = False
        """Go on to another phrase at the next bar line, as soon as there is one."""
        self._leaving = False
        """The next phrase was asked for: it goes before a loop."""
        self._looping = False
        self._frozen = False
        # what is written
        self._ready: deque[Phrase] = deque()
        self._spares: dict[str, Phrase] = {}
        self._spare_ordered: str | None = None
        self._history: list[Phrase] = []
        self._history_at = -1
        self._num_laid = self._num_repeats = self._num_gaps = 0
        self._version = 0
        self._num_orders = 0
        self._ordered = False
        self._retry_at = 0
        self._retry_seconds = RETRY_SECONDS
        self._answers: dict[int, Phrase] = {}
        self._answer_due: Call | None = None

    # what a host sets

    def parameters(self) -> tuple[Parameter, ...]:
        """Every knob with its range, default, unit and when it may be turned."""
        return tuple(self._parameters.table.values())

    def parameter_value(self, name: str) -> Value:
        self._parameters.parameter(name)
        return self._parameters[name]

    def set_parameter(self, name: str, value: Value) -> None:
        """Raise UsageError for an unknown name, a value out of range, or one that cannot change now."""
        parameter = self._parameters.parameter(name)
        if not parameter.while_playing and self._head.is_playing:
            raise UsageError(f"{name} cannot change while the transport plays; stop it first")
        if not self._parameters.set(name, value):
            return
        if name == "style":
            self._commands.put(self._change_style)
        elif parameter.rewrites:
            self._commands.put(self._rewrite)

    def prepare(self, sample_rate: float, block_size: int) -> None:
        """Call before the first block. Sounding notes are forgotten: the host has silenced them."""
        if not 1_000 <= sample_rate <= 768_000:
            raise UsageError(f"a sample rate of {sample_rate:g} Hz is not between 1000 and 768000")
        if not 1 <= block_size <= 1 << 20:
            raise UsageError(f"a block of {block_size} samples is not between 1 and {1 << 20}")
        self._sample_rate = float(sample_rate)
        self._head = Playhead(self, self._sample_rate)
        self._synth = None

    def close(self) -> None:
        """Let the worker go. The engine must not be used afterwards."""
        self._worker.close()
        if self._synth is not None:
            self._synth.close()

    def notices(self) -> list[str]:
        """What there is to say since the last call: a failed phrase, an odd loop."""
        told = []
        while True:
            try:
                told.append(self._notices.get_nowait())
            except Empty:
                return told

    # musical moves, all heard at the next bar line unless said otherwise

    def next_phrase(self) -> None:
        """Go on to the next phrase."""
        self._commands.put(self._leave)

    def loop_phrase(self, on: bool) -> None:
        """Repeat the phrase that plays until switched off."""
        self._commands.put(lambda: setattr(self, "_looping", on))

    def freeze(self, on: bool) -> None:
        """Write nothing new: the last phrases go round."""
        self._commands.put(lambda: setattr(self, "_frozen", on))

    def mute(self, role: str, on: bool) -> None:
        """Silence a role, now."""
        if role not in ROLES:
            raise UsageError(f"role {role!r} is not one of {', '.join(ROLES)}")
        self._commands.put(lambda: self._mute(role, on))

    def vary(self) -> None:
        """Write the phrase that plays anew in part, and play that next."""
        self._commands.put(self._vary)

    def undo(self) -> None:
        """Go back to the phrase before."""
        self._commands.put(self._undo)

    # the stream

    def process(self, transport: Transport, block: Block) -> list[MidiEvent]:
        """Events of this block in order of offset, each 0 to ``block.num_samples`` - 1. Never blocks
        unless ``offline``."""
        self._head.out = []
        self._take_in(transport)
        edges = [(0, transport), *((min(max(o, 0), block.num_samples), t) for o, t in block.changes)]
        for index, (first, now) in enumerate(edges):
            stop = edges[index + 1][0] if index + 1 < len(edges) else block.num_samples
            self._hear(now, block, first, stop)
            if now.is_playing:
                self._check_loop(now)
            else:
                self._state = "stopped"
            self._head.segment(now, first, stop)
        self._samples += block.num_samples
        last = edges[-1][1]
        if not self._offline:
            self._order_ahead(last)
        self._tell(last)
        return self._head.out

    def render_block(self, transport: Transport, block: Block) -> np.ndarray:
        """Sound of this block, float32 (2, num_samples): :meth:`process` played by a small built-in sampler.
        The same events go out through :attr:`last_events`."""
        if self._synth is None:
            self._synth = BlockSynth(self._sample_rate, self._offline)
        events = self.process(transport, block)
        return self._synth.render(events, block.num_samples)

    @property
    def last_events(self) -> list[MidiEvent]:
        return self._head.out

    @property
    def is_ready(self) -> bool:
        """A phrase waits to be played: starting now starts with music."""
        return bool(self._ready) or bool(self._timeline)

    # what the playhead reads

    def stretch_at(
        self, transport: Transport, cursor: float, grain: float, sample: SampleOf
    ) -> tuple[Stretch, float]:
        """See :class:`~melodygen.live.playhead.Source`. Lays what is missing."""
        self._answer_if_due(cursor, sample, transport)
        if self._cut and self._is_bar_line(transport, cursor, grain) and self._can_follow(transport):
            self._cut = False
            self._head.release(sample(cursor))
            self._truncate(cursor)
        placed = self._placed_at(cursor, grain) or self._lay(transport, cursor, grain)
        until = placed.end
        if self._cut:
            until = self._next_bar_line(transport, cursor, grain) - grain
        if self._answer_due is not None:
            until = min(until, math.floor(cursor + grain) + 1.0 - grain)
        self._enter(placed, sample(max(placed.start, cursor)))
        return placed, until

    def channel_of(self, voice: int) -> int | None:
        """See :class:`~melodygen.live.playhead.Source`."""
        role = ROLES[voice]
        return None if role in self._muted else self._channels[role]

    def _enter(self, placed: Placed, offset: int) -> None:
        """A phrase begins or is come back to: its instruments, if others are set."""
        if placed is self._current:
            return
        self._current = placed
        if placed.phrase is None or not self._parameters["program_changes"]:
            return
        for role, program in placed.phrase.programs.items():
            channel = self._channels[role]
            if self._programs.get(channel) != program:
                self._programs[channel] = program
                self._head.out.append(MidiEvent(offset, (PROGRAM_CHANGE | channel, program)))

    def _check_loop(self, transport: Transport) -> None:
        """Say once that a loop does not hold whole bars; it is played as it is."""
        if transport.loop == self._loop_named or transport.loop is None:
            return
        self._loop_named = transport.loop
        bars = (transport.loop[1] - transport.loop[0]) / transport.bar_quarters
        if abs(bars - round(bars)) > 1e-6:
            self._notices.put(f"the host loops {bars:.3g} bars, not whole ones: phrases are cut at its end")

    # the timeline

    def _placed_at(self, cursor: float, grain: float) -> Placed | None:
        for index in range(len(self._timeline) - 1, -1, -1):
            placed = self._timeline[index]
            if placed.start - grain <= cursor < placed.end - grain / 2:
                feel = self._feel()
                if placed.phrase is not None and placed.feel != feel and cursor <= placed.start + grain:
                    placed = replace(place(placed.phrase, placed.start, *feel), end=placed.end)
                    self._timeline[index] = placed
                return placed
        return None

    def _lay(self, transport: Transport, cursor: float, grain: float) -> Placed:
        """Put the next phrase, a repeat or a rest where there is nothing yet."""
        start = self._next_bar_line(transport, cursor, grain) - transport.bar_quarters
        later = min((p.start for p in self._timeline if p.start > cursor), default=math.inf)
        earlier = max((p.end for p in self._timeline if p.end <= cursor + grain), default=-math.inf)
        phrase = None
        if self._parameters["mode"] != "answer":
            phrase = self._follow(transport)
        if phrase is None:
            end = start + transport.bar_quarters
            if self._parameters["mode"] == "answer":
                end = math.floor(cursor + grain) + 1.0  # an answer may come on any quarter
            placed = rest(cursor, min(end, later))
        else:
            placed = place(phrase, start, *self._feel())
            placed = self._without_given(placed)
            placed = replace(placed, start=max(start, earlier), end=min(placed.end, later))
        return self._put(placed)

    def _put(self, placed: Placed) -> Placed:
        # rests are not kept: something may be ready when it comes round again
        self._timeline = [p for p in self._timeline if p.phrase is not None]
        self._timeline.append(placed)
        del self._timeline[:-MAX_PLACED]
        return placed

    def _without_given(self, placed: Placed) -> Placed:
        """What the player gave is the player's: only what was written around it is played."""
        if placed.phrase is None or self._parameters["mode"] != "accompany" or placed.phrase.request.given is None:
            return placed
        given = [ROLES.index(r) for r in placed.phrase.request.given_roles]
        keep = ~np.isin(placed.voice, given)
        columns = {n: getattr(placed, n)[keep] for n in ("onset", "offset", "voice", "pitch", "velocity")}
        return replace(placed, **columns)

    def _truncate(self, cursor: float) -> None:
        kept = [p for p in self._timeline if p.start < cursor]
        self._timeline = [replace(p, end=min(p.end, cursor)) for p in kept]

    def _can_follow(self, transport: Transport) -> bool:
        return self._offline or any(p.meter == transport.meter for p in self._ready)

    def _follow(self, transport: Transport) -> Phrase | None:
        """The phrase to be laid now, by rule; None for a rest."""
        current = self._history[self._history_at] if self._history else None
        if current is not None and current.meter != transport.meter:
            current = None
        if self._looping and current is not None and not (self._leaving and self._ready):
            self._state = "playing"
            return current
        while self._ready:
            phrase = self._ready.popleft()
            if phrase.meter == transport.meter:
                self._remember(phrase)
                return phrase
        if self._frozen and current is not None:
            recent = [p for p in self._history[-FROZEN_PHRASES:] if p.meter == transport.meter]
            at = (recent.index(current) + 1) % len(recent) if current in recent else 0
            self._history_at = self._history.index(recent[at])
            self._state = "playing"
            return recent[at]
        if self._offline:
            result = self._worker.now(self._order(transport))
            if result.phrase is not None and result.phrase.meter == transport.meter:
                self._remember(result.phrase)
                return result.phrase
            self._notices.put(f"no phrase: {result.error or 'the model wrote another meter'}")
        if current is not None and self._parameters["late"] == "repeat":
            self._state = "repeating"
            self._num_repeats += 1
            return current
        self._state = "resting" if self._history else "waiting"
        self._num_gaps += bool(self._history)
        return None

    def _remember(self, phrase: Phrase) -> None:
        self._state = "playing"
        self._leaving = False
        self._num_laid += 1
        if phrase in self._history:  # come back to by undo
            self._history_at = self._history.index(phrase)
            return
        self._history.append(phrase)
        del self._history[:-MAX_HISTORY]
        self._history_at = len(self._history) - 1

    def _feel(self) -> tuple[float, float]:
        return self._parameters.number("swing"), self._parameters.number("humanize")

    @staticmethod
    def _next_bar_line(transport: Transport, cursor: float, grain: float) -> float:
        bar = transport.bar_quarters
        passed = math.floor((cursor + 2 * grain - transport.bar_start_quarters) / bar)
        return transport.bar_start_quarters + (passed + 1) * bar

    @classmethod
    def _is_bar_line(cls, transport: Transport, cursor: float, grain: float) -> bool:
        return abs(cls._next_bar_line(transport, cursor, grain) - transport.bar_quarters - cursor) < 4 * grain

    # commands, run by process() in its own thread

    def _take_in(self, transport: Transport) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except Empty:
                break
            command()
        while (result := self._worker.poll()) is not None:
            self._accept(result, transport)

    def _leave(self) -> None:
        self._cut = self._leaving = True

    def _rewrite(self) -> None:
        """What was written for other parameters is dropped."""
        self._version += 1
        self._ready.clear()
        self._spares.clear()
        self._answers.clear()
        self._ordered, self._spare_ordered, self._retry_at = False, None, 0

    def _change_style(self) -> None:
        spare = self._spares.get(str(self._parameters["style"]))
        kept = {s: p for s, p in self._spares.items() if p is not spare}
        self._rewrite()
        self._spares = kept
        if spare is not None:
            self._ready.append(spare)
        if self._history:
            self._leave()

    def _mute(self, role: str, on: bool) -> None:
        self._muted = self._muted | {role} if on else self._muted - {role}
        if on:
            self._head.release(0, self._channels[role])

    def _vary(self) -> None:
        if not self._history:
            return
        phrase = self._history[self._history_at]
        roles = tuple(t.role for t in phrase.score.tracks if len(t))
        bars = phrase.request.bars
        request = replace(phrase.request, prompt=None, given=phrase.score)
        if "melody" in roles and len(roles) > 1:
            request = replace(request, given_roles=tuple(r for r in roles if r != "melody"), tracks=roles)
        else:
            request = replace(request, fill=(bars // 2, bars - bars // 2))
        self._post(self._dressed(request, "vary"))

    def _undo(self) -> None:
        if self._history_at > 0:
            before = self._history[self._history_at - 1]
            self._ready = deque([before, *(p for p in self._ready if p is not before)])
            self._leave()

    # ordering

    def _accept(self, result: Result, transport: Transport) -> None:
        purpose, phrase = result.order.purpose, result.phrase
        if purpose == "spare":
            self._spare_ordered = None
            if phrase is not None and result.order.version == self._version:
                self._spares[phrase.request.style] = phrase
            return
        if result.order.version != self._version:
            return
        if purpose == "next":
            self._ordered = False
        if phrase is None:
            self._notices.put(f"no phrase written: {result.error}")
            self._retry_at = self._samples + round(self._retry_seconds * self._sample_rate)
            self._retry_seconds = min(2 * self._retry_seconds, MAX_RETRY_SECONDS)
            if purpose.startswith("answer"):
                self._answer_due = None
            return
        self._retry_seconds = RETRY_SECONDS
        if phrase.meter != transport.meter:
            given = f"{phrase.meter[0]}/{phrase.meter[1]}"
            self._notices.put(f"a phrase in {given} was dropped: the host plays {transport.meter}")
        elif purpose == "vary":
            self._ready.appendleft(phrase)
            self._leaving = True
        elif purpose.startswith("answer"):
            self._answers = {int(purpose.removeprefix("answer")): phrase}
        else:
            self._ready.append(phrase)

    def _order_ahead(self, transport: Transport) -> None:
        """Keep one phrase ready beyond what is laid; then the spare ones."""
        if self._frozen or self._ordered or self._samples < self._retry_at:
            return
        if self._parameters["mode"] == "answer":
            return
        if not self._ready:
            self._ordered = True
            self._post(self._order(transport))
        elif self._spare_ordered is None:
            missing = [s for s in self._standby if s not in self._spares and s != self._parameters["style"]]
            if missing:
                self._spare_ordered = missing[0]
                order = self._order(transport, linked=False)
                request = replace(order.request, style=missing[0])
                self._post(replace(order, request=request, purpose="spare"))

    def _post(self, order: Order) -> None:
        self._worker.post(order)

    def _order(self, transport: Transport, linked: bool = True) -> Order:
        p = self._parameters
        key, style = p["key"], str(p["style"])
        tracks = p["tracks"]
        assert isinstance(tracks, tuple)
        last = self._history[self._history_at] if self._history else None
        joins = (
            linked and p["linked"] and last is not None and last.request.style == style
            and last.meter == transport.meter
        )  # fmt: skip
        request = Request(
            style=style,
            bars=round(p.number("bars_per_phrase")),
            qpm=min(max(transport.qpm, MIN_QPM), MAX_QPM),
            meter=transport.meter,
            key=parse_key(key) if isinstance(key, str) else self._key_of(last),
            tracks=tracks,
            prompt=last.score if joins and last is not None else None,
        )
        if p["mode"] == "accompany":
            given = self._listener.heard_bars(transport, request.bars)
            if given is not None:
                others = tuple(r for r in tracks if r != "melody") or ("bass", "drums")
                tracks = ("melody", *others)
                request = replace(request, given=given, given_roles=("melody",), tracks=tracks, prompt=None)
        return self._dressed(request, "next")

    def _dressed(self, request: Request, purpose: str) -> Order:
        """An order for a request, with what the parameters say about how it is written."""
        p = self._parameters
        density = p["density"]
        request = replace(
            request,
            density=density if isinstance(density, float) else None,
            temperature=p.number("temperature"),
            top_p=p.number("top_p"),
        )
        self._num_orders += 1
        seed = int(np.random.SeedSequence([round(p.number("seed")), self._num_orders]).generate_state(1)[0])
        return Order(
            request, seed, round(p.number("candidates")), p.number("min_style"), round(p.number("max_rounds")),
            purpose, self._version,
        )  # fmt: skip

    @staticmethod
    def _key_of(phrase: Phrase | None) -> tuple[int, str] | None:
        """A new style stays in the key of what was played."""
        if phrase is None or not phrase.score.key_signatures:
            return None
        key = phrase.score.key_signatures[0]
        return key.tonic, key.mode

    # call and response

    def _hear(self, transport: Transport, block: Block, first: int, stop: int) -> None:
        mode = self._parameters["mode"]
        per_quarter = transport.samples_per_quarter(self._sample_rate)
        for offset, message in block.midi_in:
            if first <= offset < stop or (offset >= stop == block.num_samples):
                self._listener.hear(transport.position_quarters + (offset - first) / per_quarter, message)
        if mode != "answer":
            self._listener.drop_call()
        if mode != "answer" or not transport.is_playing:
            return
        end = transport.position_quarters + (stop - first) / per_quarter
        draft = self._listener.draft(end)
        if draft is not None:
            self._answers.clear()
            self._post(self._answer_order(draft, transport))
        call = self._listener.ended(end, self._parameters.number("answer_rest"))
        if call is not None:
            self._answer_due = call

    def end_call(self) -> None:
        """The phrase that comes in is over: answer on the next quarter."""
        self._commands.put(self._listener.finish)

    def _answer_order(self, call: Call, transport: Transport) -> Order:
        base = self._order(transport, linked=False).request
        request = replace(
            base, bars=call.num_bars(transport.bar_quarters), prompt=call.score(transport), key=call.key() or base.key
        )
        self._num_orders -= 1  # the one the request was taken from
        return self._dressed(request, f"answer{call.number}")

    def _answer_if_due(self, cursor: float, sample: SampleOf, transport: Transport) -> None:
        """On a quarter, and as soon as it is written, the answer begins. Playing on takes it away."""
        call = self._answer_due
        if call is None or abs(cursor - round(cursor)) > 1e-6:
            return
        if self._listener.is_playing:
            self._answer_due = None
            return
        if self._offline and call.number not in self._answers:
            phrase = self._worker.now(self._answer_order(call, transport)).phrase
            if phrase is not None:
                self._answers = {call.number: phrase}
        phrase = self._answers.pop(call.number, None)
        if phrase is None:
            return
        self._answer_due = None
        self._head.release(sample(cursor))
        self._truncate(cursor)
        self._remember(phrase)
        self._put(place(phrase, cursor, *self._feel()))

    def _tell(self, transport: Transport) -> None:
        phrase = self._current.phrase if self._current is not None else None
        self.status = Status(
            self._head.expected if self._head.is_playing else transport.position_quarters,
            transport.qpm,
            self._state if transport.is_playing else "stopped",
            phrase.request.style if phrase is not None else str(self._parameters["style"]),
            self._num_laid,
            phrase.style_probability if phrase is not None else None,
            len(self._ready),
            tuple(sorted(self._muted)),
            self._looping,
            self._frozen,
            self._num_repeats,
            self._num_gaps,
        )
