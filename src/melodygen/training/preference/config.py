"""What a preference run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from melodygen.errors import UsageError

GROUP = 8
"""Candidates of one group: pairs are made inside a group."""
PAIRS_A_GROUP = 3
LEAST_PAIRS = 4


@dataclass(frozen=True)
class PreferenceConfig:
    """What decides the result.

    Attributes:
        style: the style that is tuned.
        bars: length of the candidates.
        pairs: number of preference pairs, at most.
        steps: number of optimizer steps.
        minutes: time in minutes that pairs and steps are fitted into, at the pace measured when the run begins; None
            keeps them as they are.
        beta: how strongly a preference is learned, per nat of a piece (Rafailov et al. 2023).
        leash: largest divergence from the start, in nats a token.
        learning_rate: peak of AdamW.
        rows: pairs a step.
        check_pieces: pieces written at each check of the diversity.
        measure_pieces: pieces written before and after, on seeds that nothing was tuned on.
        kept_pieces: pieces written in each of a few other styles, on which the net is held to the start.
        seed: of everything that is drawn.
    """

    style: str
    bars: int = 8
    pairs: int = 96
    steps: int = 60
    minutes: float | None = None
    beta: float = 0.1
    leash: float = 0.05
    learning_rate: float = 3e-5
    rows: int = 4
    check_pieces: int = 12
    measure_pieces: int = 24
    kept_pieces: int = 6
    seed: int = 1


def check_preference(config: PreferenceConfig) -> None:
    """Raise UsageError for what cannot be."""
    limits = (
        ("bars", config.bars, 2, 64), ("pairs", config.pairs, LEAST_PAIRS, 100_000),
        ("steps", config.steps, 1, 1_000_000), ("time", config.minutes, 1, 100_000), ("beta", config.beta, 1e-4, 10.0),
        ("leash", config.leash, 1e-4, 10.0), ("learning-rate", config.learning_rate, 1e-7, 1.0),
        ("seed", config.seed, 0, 2**31),
    )  # fmt: skip
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name} {value:g} is not {low:g} to {high:g}")
