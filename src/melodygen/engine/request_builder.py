"""Builds tasks for the writer from the parameters, the transport and the music so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from melodygen.engine.midi_input import Call, MidiInput
from melodygen.engine.parameters import Parameters
from melodygen.engine.phrase import Phrase, joined
from melodygen.engine.writer import PhraseRequest
from melodygen.live.transport import Transport
from melodygen.request import CONTROLS, Request

OPENING_BARS = 1
"""Length of what is written when something has to begin now; the rest is written while it plays."""
DECIDED_PER_PHRASE = ("style", "key", "tracks")
"""Controls in which a request may differ from the parameters: an answer, for example, is in the key of the
call.
"""


class RequestBuilder:
    """Builds phrase requests. ``version`` counts the states of the parameters; a task of an earlier version
    is obsolete.
    """

    def __init__(self, parameters: Parameters, midi_input: MidiInput) -> None:
        self._parameters = parameters
        self._midi_input = midi_input
        self.version = 0
        self.count = 0

    def next(self, transport: Transport, last: Phrase | None) -> PhraseRequest:
        """Return a request for the phrase after ``last``."""
        return self._phrase_request(self._accompanying(self._request(transport, last), transport), "next")

    def opening(self, transport: Transport, last: Phrase | None) -> PhraseRequest:
        """Return a request for the beginning of a phrase, to be written at once."""
        request = self._request(transport, last)
        request = replace(request, bars=min(request.bars, OPENING_BARS))
        return self._quick(self._accompanying(request, transport), "opening")

    def spare(self, transport: Transport, last: Phrase | None, style: str) -> PhraseRequest:
        """Return a request for a phrase to keep for a change to ``style``."""
        request = replace(self._request(transport, last), style=style, prompt=None)
        return self._phrase_request(request, "spare")

    def variation(self, phrase: Phrase) -> PhraseRequest:
        """Return a request for the same phrase with its melody, or its second half, written again."""
        roles = tuple(t.role for t in phrase.score.tracks if len(t))
        bars = phrase.request.bars
        request = replace(phrase.request, prompt=None, given=phrase.score)
        if "melody" in roles and len(roles) > 1:
            request = replace(request, given_roles=tuple(r for r in roles if r != "melody"), tracks=roles)
        else:
            request = replace(request, fill=(bars // 2, bars - bars // 2))
        return self._phrase_request(request, "vary")

    def answer(self, call: Call, transport: Transport, last: Phrase | None) -> PhraseRequest:
        """Return a request for an answer as long as the call, or for its opening where openings are
        enabled.
        """
        request = self._request(transport, last)
        bars = call.num_bars(transport.bar_quarters)
        key = call.key() or request.key
        request = replace(request, bars=bars, prompt=call.score(transport), key=key, goes_on=False)
        if not self._parameters["opening"]:
            return self._phrase_request(request, f"answer{call.number}")
        request = replace(request, bars=min(bars, OPENING_BARS), goes_on=bars > OPENING_BARS)
        return self._quick(request, f"answer{call.number}")

    def rest_of_answer(self, call: Call, opening: Phrase, transport: Transport) -> PhraseRequest | None:
        """Return a request for what follows the opening of an answer, or None if that was all."""
        bars = call.num_bars(transport.bar_quarters) - opening.request.bars
        if bars <= 0:
            return None
        assert opening.request.prompt is not None
        prompt = joined(opening.request.prompt, opening.score)
        return self._phrase_request(replace(opening.request, bars=bars, prompt=prompt, goes_on=False), "more")

    def _request(self, transport: Transport, last: Phrase | None) -> Request:
        controls = self._parameters.request_controls()
        controls["key"] = controls["key"] or _key_of(last)
        follows = (
            self._parameters["linked"]
            and last is not None
            and last.request.style == controls["style"]
            and last.meter == transport.meter
        )
        tempo = CONTROLS["qpm"]
        return Request(
            **controls,
            bars=round(self._parameters.number("bars_per_phrase")),
            qpm=min(max(transport.qpm, tempo.low), tempo.high),
            meter=transport.meter,
            prompt=last.score if follows and last is not None else None,
            goes_on=True,
        )

    def _accompanying(self, request: Request, transport: Transport) -> Request:
        """Return the request around the player's last bars, in the mode ``accompany``."""
        if self._parameters["mode"] != "accompany":
            return request
        given = self._midi_input.last_bars(transport, request.bars)
        if given is None:
            return request
        others = tuple(r for r in request.tracks if r != "melody") or ("bass", "drums")
        return replace(request, given=given, given_roles=("melody",), tracks=("melody", *others), prompt=None)

    def _quick(self, request: Request, purpose: str) -> PhraseRequest:
        return replace(self._phrase_request(request, purpose), candidates=1, max_rounds=1, quick=True)

    def _phrase_request(self, request: Request, purpose: str) -> PhraseRequest:
        """A phrase request, with what the parameters say now about how it is written."""
        p = self._parameters
        controls = {n: v for n, v in p.request_controls().items() if n not in DECIDED_PER_PHRASE}
        request = replace(request, **controls)
        self.count += 1
        seed = int(np.random.SeedSequence([round(p.number("seed")), self.count]).generate_state(1)[0])
        return PhraseRequest(
            request, seed, round(p.number("candidates")), p.number("min_style"), round(p.number("max_rounds")),
            purpose, self.version,
        )  # fmt: skip


def _key_of(phrase: Phrase | None) -> tuple[int, str] | None:
    """Return the key of a phrase, so that a new style stays in the key of the music so far."""
    if phrase is None or not phrase.score.key_signatures:
        return None
    key = phrase.score.key_signatures[0]
    return key.tonic, key.mode
