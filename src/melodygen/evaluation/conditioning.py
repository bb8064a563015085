"""Does the model listen? The loss of what a condition is about: with the true one, without it, and with a wrong one.

Each case is the same music three times; only what is asked differs. The tokens that are scored are the same
in all three, so the differences are the condition's doing. A model that ignores a condition has three equal figures;
one that was trained to do without it loses little when it is left out and much when it is wrong.

    style, tempo, density   all tokens of the bars         wrong: another style; ten tempo bands, four levels away
    meter                   all tokens of the bars         without: the first bar says it; wrong: 3/4 for 4/4, else 4/4
    key                     pitches and chord roots        wrong: a tritone away, mode kept
    chord line              pitches of the other roles     wrong: of another piece of the style, and a tritone away
    X given Y               tokens of X                    wrong: Y of another piece of the style
    bars left               last two bars and the end      without: ``bar:33``; wrong: eight bars more
    bars after the gap      tokens of the filled bars      without: as a continuation; wrong: another piece's
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from melodygen.data.dataset import PLAIN, ExampleSampler
from melodygen.tokens.codec import bar_token
from melodygen.tokens.vocabulary import (
    DENSITIES,
    END,
    FILL,
    GAP,
    MAX_COUNTDOWN,
    METERS,
    PAD,
    SEGMENT_ROLES,
    TEMPO_BANDS,
    VOCABULARY,
)

FULL = replace(PLAIN, band=0.6, comping=0.8)
"""Every role that is there and the chord line, nothing hidden, nothing moved: what requests are made of."""
GIVEN = (
    ("bass", "melody"),
    ("melody", "bass"),
    ("chords", "melody"),
    ("melody", "chords"),
    ("drums", "bass"),
)
"""(role that is scored, role that is given)."""
EARLY_BARS = 2
_STYLE, _METER, _TEMPO, _KEY, _DENSITY = range(1, 6)
_V = VOCABULARY

Tokens = tuple[list[int], list[bool]]
"""Ids, and which of them are scored."""


@dataclass(frozen=True)
class Bars:
    """An example taken apart. ``head``: bos, style, meter, tempo, key, density, span. Of each bar the lead (countdown,
    and meter where it changes) and the segments by role."""

    head: tuple[int, ...]
    roles: tuple[str, ...]
    leads: tuple[tuple[int, ...], ...]
    segments: tuple[dict[str, tuple[int, ...]], ...]

    @property
    def meter(self) -> int:
        """Index of the header's meter token."""
        return _V.values[self.head[_METER]]


@dataclass(frozen=True)
class Case:
    """One example under one condition: the same scored tokens three times."""

    condition: str
    true: Tokens
    without: Tokens
    wrong: Tokens


@dataclass(frozen=True)
class ConditioningEffect:
    """Nats a scored token with the true condition, without, with a wrong one. ``early``: the same in the first two
    bars, before the music itself tells it. ``heard``: share of examples in which the wrong condition costs more."""

    condition: str
    examples: int
    tokens: int
    nats: tuple[float, float, float]
    early: tuple[float, float, float]
    heard: float


def take_apart(ids: Sequence[int]) -> Bars:
    """The inverse of ``put_together`` on an example without infill."""
    at = 7
    roles = []
    while _V.kinds[ids[at]] == "role":
        roles.append(SEGMENT_ROLES[_V.values[ids[at]]])
        at += 1
    leads: list[list[int]] = []
    segments: list[dict[str, list[int]]] = []
    role = ""
    for token in ids[at + 1 :]:
        kind = _V.kinds[token]
        if token == END:
            break
        if kind == "bar":
            leads.append([token])
            segments.append({})
        elif kind == "meter":
            leads[-1].append(token)
        else:
            if kind == "role":
                role = SEGMENT_ROLES[_V.values[token]]
                segments[-1][role] = []
            segments[-1][role].append(token)
    parts = tuple({r: tuple(s) for r, s in bar.items()} for bar in segments)
    return Bars(tuple(ids[:7]), tuple(roles), tuple(map(tuple, leads)), parts)


def put_together(
    music: Bars,
    score: Callable[[str, int], bool],
    bars: slice = slice(None),
    fill: tuple[int, int] | None = None,
    score_end: bool = False,
) -> Tokens:
    """Ids of ``music`` in the order of its roles. ``score(role, token)`` says what counts, inside ``bars``; leads never
    do. ``fill`` = (first, count) moves those bars behind the others."""
    head = [*music.head, *(_V.id("role", SEGMENT_ROLES.index(r)) for r in music.roles), 2]
    ids, mask = list(head), [False] * len(head)
    inside = set(range(len(music.leads))[bars])

    def write(index: int) -> None:
        ids.extend(music.leads[index])
        mask.extend([False] * len(music.leads[index]))
        for role in music.roles:
            segment = music.segments[index].get(role, ())
            ids.extend(segment)
            mask.extend(index in inside and score(role, token) for token in segment)

    def sign(token: int, counts: bool = False) -> None:
        ids.append(token)
        mask.append(counts)

    order = list(range(len(music.leads)))
    moved = order[fill[0] : fill[0] + fill[1]] if fill else []
    for index in order:
        if index not in moved:
            write(index)
        elif index == moved[0]:
            sign(GAP)
    if moved:
        sign(FILL)
        for index in moved:
            write(index)
    sign(END, score_end)
    return ids, mask


def header_cases(music: Bars, num_styles: int, rng: np.random.Generator) -> Iterable[Case]:
    """Style, meter, tempo, key and density, each where it is known."""

    def asked(place: int, kind: str, value: int) -> Bars:
        head = list(music.head)
        head[place] = _V.id(kind, value)
        return replace(music, head=tuple(head))

    def case(kind: str, place: int, wrong: int, score: Callable[[str, int], bool] = _anything) -> Case:
        versions = (music, asked(place, kind, 0), asked(place, kind, wrong))
        return Case(kind, *(put_together(v, score) for v in versions))

    style, tempo, key, density = (_V.values[music.head[p]] for p in (_STYLE, _TEMPO, _KEY, _DENSITY))
    if style:
        yield case("style", _STYLE, 1 + (style - 1 + int(rng.integers(1, num_styles))) % num_styles)
    if tempo:
        yield case("tempo", _TEMPO, tempo + 10 if tempo + 10 <= len(TEMPO_BANDS) else tempo - 10)
    if density:
        yield case("density", _DENSITY, density + 4 if density + 4 <= DENSITIES else density - 4)
    if key:
        wrong = 1 + (key - 1) // 12 * 12 + ((key - 1) % 12 + 6) % 12
        yield case("key", _KEY, wrong, _is_pitch)
    if music.meter and all(len(lead) == 1 for lead in music.leads):
        told = asked(_METER, "meter", 0)
        told = replace(told, leads=((told.leads[0][0], music.head[_METER]), *told.leads[1:]))
        four = 1 + METERS.index((4, 4))
        other = asked(_METER, "meter", 1 + METERS.index((3, 4)) if music.meter == four else four)
        yield Case("meter", *(put_together(v, _anything) for v in (music, told, other)))


def body_cases(music: Bars, other: Bars, rng: np.random.Generator) -> Iterable[Case]:
    """Chord line, given roles, countdown and infill. ``other`` is another piece with as many bars of the same meter."""
    pitched = [r for r in music.roles if r not in ("chordline", "drums")]
    if "chordline" in music.roles and pitched:
        first = replace(music, roles=("chordline", *pitched))
        bare = replace(music, roles=tuple(pitched))

        def notes(role: str, token: int) -> bool:
            return role != "chordline" and _V.kinds[token] == "pitch"

        tritone = _with_role(first, "chordline", music, shift=6)
        wrongs = [("chord line, tritone", tritone)]
        if "chordline" in other.roles:
            wrongs.append(("chord line, other piece", _with_role(first, "chordline", other)))
        for name, wrong in wrongs:
            yield Case(name, *(put_together(v, notes) for v in (first, bare, wrong)))
    for scored, given in GIVEN:
        if scored in music.roles and given in music.roles and given in other.roles:
            first = replace(music, roles=(given, scored))
            versions = (first, replace(music, roles=(scored,)), _with_role(first, given, other))
            yield Case(f"{scored} given {given}", *(put_together(v, _only(scored)) for v in versions))
    num_bars = len(music.leads)
    if num_bars >= 4 and _V.values[music.head[6]] % 2 == 0 and _V.values[music.leads[0][0]] < MAX_COUNTDOWN:
        last = slice(num_bars - 2, None)
        open_ended = _counted(music, lambda left: MAX_COUNTDOWN + 1)
        more = _counted(music, lambda left: left + 8)
        yield Case(
            "bars left",
            *(put_together(v, _anything, last, score_end=True) for v in (music, open_ended, more)),
        )
    if num_bars >= 6:
        count = int(rng.integers(1, num_bars // 2))
        start = int(rng.integers(1, num_bars - count - 1))
        filled = slice(start, start + count)
        tail = replace(
            music,
            segments=tuple(
                s if i < start + count else {r: x for r, x in other.segments[i].items() if r in music.roles}
                for i, s in enumerate(music.segments)
            ),
        )
        cut = replace(music, leads=music.leads[: start + count], segments=music.segments[: start + count])
        yield Case(
            "bars after the gap",
            put_together(music, _anything, filled, (start, count)),
            put_together(cut, _anything, filled),
            put_together(tail, _anything, filled, (start, count)),
        )


def draw_cases(
    sampler: ExampleSampler, styles: Sequence[str], per_style: int, rng: np.random.Generator, tries: int = 40
) -> list[Case]:
    """Cases of ``per_style`` windows a style. A window's "other piece" is the next window with as many bars in one and
    the same meter, from another file where there is one."""
    cases: list[Case] = []
    for style in styles:
        drawn: list[Bars] = []
        seen: dict[tuple[int, int], Bars] = {}
        for _ in range(per_style * tries):
            if len(drawn) == per_style:
                break
            music = take_apart(sampler.draw(rng, style).ids.tolist())
            match = seen.get((len(music.leads), music.meter))
            seen[len(music.leads), music.meter] = music
            if len(music.leads) < 4 or match is None or match.segments == music.segments:
                continue
            drawn.append(music)
            cases += header_cases(music, len(sampler.styles), rng)
            cases += body_cases(music, match, rng)
    return cases


def listen(net: nn.Module, cases: Sequence[Case], rows: int = 8) -> list[ConditioningEffect]:
    """One row a condition, in order of appearance."""
    flat = [tokens for case in cases for tokens in (case.true, case.without, case.wrong)]
    losses = token_losses(net, flat, rows)
    result = []
    for condition in dict.fromkeys(case.condition for case in cases):
        chosen = [i for i, case in enumerate(cases) if case.condition == condition]
        groups = [[losses[3 * i + v] for i in chosen] for v in range(3)]
        sizes = [len(x) for x in groups[0]]
        assert all(sizes == [len(x) for x in group] for group in groups[1:])
        used = [j for j, size in enumerate(sizes) if size]
        if not used:
            continue
        counts = [_early_count(cases[i].true) for i in chosen]
        heard = float(np.mean([groups[0][j].mean() < groups[2][j].mean() for j in used]))
        result.append(
            ConditioningEffect(
                condition, len(used), sum(sizes), _means(groups, sizes), _means(groups, counts), heard
            )
        )
    return result


@torch.no_grad()
def token_losses(net: nn.Module, sequences: Sequence[Tokens], rows: int = 8) -> list[NDArray[np.float64]]:
    """Nats of each scored token, sequence by sequence. Sequences of like length share a batch."""
    net.eval()
    result: list[NDArray[np.float64]] = [np.zeros(0)] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i][0]))
    for at in range(0, len(order), rows):
        chosen = order[at : at + rows]
        longest = max(len(sequences[i][0]) for i in chosen)
        ids: Tensor = torch.full((len(chosen), longest), PAD, dtype=torch.long)
        for row, index in enumerate(chosen):
            ids[row, : len(sequences[index][0])] = torch.tensor(sequences[index][0])
        logits = net(ids[:, :-1]).float()
        loss = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        table = loss.view(len(chosen), -1).double().numpy()
        for row, index in enumerate(chosen):
            mask = np.array(sequences[index][1][1:])
            result[index] = table[row, : len(mask)][mask]
    return result


def _means(
    groups: Sequence[Sequence[NDArray[np.float64]]], counts: Sequence[int]
) -> tuple[float, float, float]:
    """The mean of the first ``counts[i]`` losses of each example i, for the three versions; NaN without any."""
    true, without, wrong = (
        np.concatenate([x[:count] for x, count in zip(group, counts, strict=True)]) for group in groups
    )
    if not len(true):
        return (math.nan, math.nan, math.nan)
    return float(true.mean()), float(without.mean()), float(wrong.mean())


def _early_count(tokens: Tokens) -> int:
    """How many scored tokens stand before the third bar; none where the order of bars was changed."""
    ids, mask = tokens
    if GAP in ids:
        return 0
    bars = [i for i, token in enumerate(ids) if _V.kinds[token] == "bar"]
    end = bars[EARLY_BARS] if len(bars) > EARLY_BARS else len(ids)
    return sum(mask[:end])


def _anything(role: str, token: int) -> bool:
    return True


def _is_pitch(role: str, token: int) -> bool:
    return _V.kinds[token] in ("pitch", "chord_root")


def _only(wanted: str) -> Callable[[str, int], bool]:
    return lambda role, token: role == wanted


def _with_role(music: Bars, role: str, source: Bars, shift: int = 0) -> Bars:
    """``music`` with one role of ``source``, transposed."""
    table = _V.transpositions[12 + shift]
    segments = []
    for here, there in zip(music.segments, source.segments, strict=True):
        changed = {r: s for r, s in here.items() if r != role}
        if role in there:
            changed[role] = tuple(int(table[t]) for t in there[role])
        segments.append(changed)
    return replace(music, segments=tuple(segments))


def _counted(music: Bars, count: Callable[[int], int]) -> Bars:
    """``music`` with another countdown: ``count`` maps the bars left to those said."""
    leads = tuple((bar_token(count(_V.values[lead[0]] + 1)), *lead[1:]) for lead in music.leads)
    return replace(music, leads=leads)
