"""What a training run on a folder is asked to do, and the sizes of nets it can make from nothing."""

from __future__ import annotations

from dataclasses import dataclass

from melodygen.errors import UsageError

SIZES: dict[str, dict[str, dict[str, int]]] = {
    "transformer": {
        "tiny": {"width": 64, "layers": 2, "heads": 2}, "small": {"width": 256, "layers": 6, "heads": 4},
        "base": {"width": 384, "layers": 8, "heads": 6}, "large": {"width": 768, "layers": 12, "heads": 12},
    },
    "lstm": {
        "tiny": {"width": 64, "hidden": 128, "layers": 1}, "small": {"width": 256, "hidden": 768, "layers": 2},
        "base": {"width": 384, "hidden": 1024, "layers": 2}, "large": {"width": 768, "hidden": 1536, "layers": 3},
    },
}  # fmt: skip
CONTEXT = 1024


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the result. None: chosen from the folder when the run begins.

    ``source`` is the model to begin from (name or folder), or ``none``. ``rows`` rows of ``length`` tokens a step and
    process, learned in ``accumulate`` parts. ``replay`` is the share of a batch that holds the old styles,
    ``replay_pieces`` how many are written for each. ``patience`` is how many validations in a row may bring nothing
    before the run ends.
    """

    style: str | None = None
    source: str = ""
    net: str = "transformer"
    size: str = "small"
    steps: int | None = None
    minutes: float | None = None
    rows: int = 6
    length: int = CONTEXT
    accumulate: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    dropout: float | None = None
    weight_decay: float = 0.05
    transpose: bool = True
    replay: float = 0.5
    replay_pieces: int = 12
    patience: int = 4
    classifier: bool = True
    seed: int = 1

    @property
    def fresh(self) -> bool:
        """Whether the run begins from nothing."""
        return self.source == "none"


def check_config(plan: TrainingConfig) -> None:
    """Raises UsageError for what cannot be."""
    known = SIZES.get(plan.net)
    if known is None:
        raise UsageError(f"--net {plan.net!r} is not known; known: {', '.join(SIZES)}")
    if plan.size not in known:
        raise UsageError(f"--size {plan.size!r} is not known; known: {', '.join(known)}")
    if plan.optimizer not in (None, "muon", "adamw"):
        raise UsageError(f"--optimizer {plan.optimizer!r} is not known; known: muon, adamw")
    if plan.steps is not None and plan.minutes is not None:
        raise UsageError("--steps and --minutes both say how long: give one")
    limits = (
        ("steps", plan.steps, 1, 10_000_000), ("minutes", plan.minutes, 0.01, 100_000), ("rows", plan.rows, 1, 4096),
        ("length", plan.length, 64, CONTEXT), ("accumulate", plan.accumulate, 1, plan.rows),
        ("learning-rate", plan.learning_rate, 1e-7, 1.0), ("dropout", plan.dropout, 0.0, 0.9),
        ("weight-decay", plan.weight_decay, 0.0, 10.0), ("replay", plan.replay, 0.0, 0.9),
        ("replay-pieces", plan.replay_pieces, 2, 10_000), ("patience", plan.patience, 1, 10_000),
        ("seed", plan.seed, 0, 2**31),
    )  # fmt: skip
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name} {value:g} is not {low:g} to {high:g}")
    if plan.style is not None:
        check_style_name(plan.style)


def check_style_name(name: str) -> None:
    """Raise UsageError for a style name that cannot be a folder, a file or an option."""
    if not name.strip() or len(name) > 64 or any(c in name for c in "/\\\n\r\t\0,:"):
        raise UsageError(
            f"style {name!r} cannot be a name: 1 to 64 characters, no slash, comma, colon, tab or line break"
        )
