"""Mixtures of styles, written ``jazz:0.7,folk:0.3``; without numbers the shares are equal. One name is one style alone.

``style_probability`` says how near a classifier's probabilities come to the shares: exp(-KL(shares, probabilities)). It
is 1 where they agree, near 0 where one of the styles is not heard at all, and for one style it is its probability.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from melodygen.errors import UsageError
from melodygen.styles.style import Style

if TYPE_CHECKING:
    from melodygen.styles.scores import StyleScores

MAX_STYLES = 4
LEAST_PROBABILITY = 1e-6
"""A style that is heard less counts as this much."""


def style_shares(text: str) -> dict[str, float]:
    """Styles and their shares, which sum to 1, the largest first. Raises UsageError for what is no mixture."""
    if "," not in text and ":" not in text:
        return {text: 1.0}
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, colon, number = (word.strip() for word in part.partition(":"))
        share = float(number) if re.fullmatch(r"\d*\.?\d+", number) else 0.0
        if not name or (colon and share <= 0):
            raise UsageError(f"style {text!r} is no mixture; write it like jazz:0.7,folk:0.3")
        if name in shares:
            raise UsageError(f"style {text!r} names {name} twice; name each style once")
        shares[name] = share if colon else math.nan
    if any(math.isnan(s) for s in shares.values()):
        if not all(math.isnan(s) for s in shares.values()):
            raise UsageError(f"style {text!r}: give every style a share, or none, like jazz:0.7,folk:0.3")
        shares = dict.fromkeys(shares, 1.0)
    if len(shares) > MAX_STYLES:
        raise UsageError(f"style {text!r} mixes {len(shares)} styles; give 1 to {MAX_STYLES}")
    total = sum(shares.values())
    return {name: share / total for name, share in sorted(shares.items(), key=lambda item: -item[1])}


def style_text(shares: Mapping[str, float]) -> str:
    """The shares as they are written: ``jazz:0.7,folk:0.3``."""
    if len(shares) == 1:
        return next(iter(shares))
    return ",".join(f"{name}:{share:.3g}" for name, share in shares.items())


def file_stem(style: str) -> str:
    """A style or mixture as part of a file's name: ``jazz-folk``."""
    return "-".join(style_shares(style))


def style_probability(scores: StyleScores, style: str) -> float:
    """How much a piece sounds like a style or a mixture, 0 to 1. Raises ClassifierError for an unknown style."""
    shares = style_shares(style)
    if len(shares) == 1:
        return scores[style]
    divergence = sum(s * math.log(s / max(scores[name], LEAST_PROBABILITY)) for name, s in shares.items())
    return min(1.0, math.exp(-divergence))


def mixed_style(text: str, styles: Sequence[Style]) -> Style:
    """What is usual in a mixture. ``styles`` are those of ``style_shares(text)`` in their order.

    The first has the largest share and gives meter, tracks, mode and instruments, but the second the melody's; tempo
    and swing lie between.
    """
    shares = list(style_shares(text).values())
    if len(styles) == 1:
        return styles[0]
    qpm = math.exp(sum(s * math.log(style.qpm) for s, style in zip(shares, styles, strict=True)))
    swing = sum(s * style.swing for s, style in zip(shares, styles, strict=True))
    programs = {role: p for style in reversed(styles) for role, p in style.programs.items()}
    programs |= {role: p for role, p in styles[1].programs.items() if role == "melody"}
    return replace(styles[0], name=text, qpm=round(qpm, 1), swing=swing, programs=programs)


__all__ = ["MAX_STYLES", "file_stem", "mixed_style", "style_probability", "style_shares", "style_text"]
