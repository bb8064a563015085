"""What a style that only a folder knows is like: usual tempo, meter, voices and instruments, from its files."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from melodygen.data.census import FileSummary
from melodygen.music.score import ROLES
from melodygen.styles.style import Style

USUAL_SHARE = 0.4
"""A role is usual where this share of the files has it."""


@dataclass
class StyleProfile:
    """Adds up the files of one style."""

    name: str
    count: int = 0
    qpm: list[float] = field(default_factory=list)
    meters: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    programs: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, intake: FileSummary) -> None:
        """Take in one file that can be used."""
        assert intake.info is not None
        self.count += 1
        self.qpm.append(intake.info.qpm)
        self.meters[intake.meter] += 1
        self.modes[intake.key.split()[-1] if intake.key else "major"] += 1
        self.roles.update(r for r, n in intake.notes.items() if n)
        for role, program in intake.programs.items():
            self.programs[role][program] += 1

    def style(self, folder: str) -> Style:
        """What the files have in common, as a Style."""
        usual = [r for r in ROLES if self.roles[r] >= USUAL_SHARE * self.count]
        numerator, denominator = self.meters.most_common(1)[0][0].split("/")
        return Style(
            self.name,
            f"Learned from {self.count} file{'s' if self.count != 1 else ''} of {folder}",
            qpm=round(float(np.median(self.qpm)), 1),
            meter=(int(numerator), int(denominator)),
            tracks=tuple(usual) or (self.roles.most_common(1)[0][0],),
            programs={r: self.programs[r].most_common(1)[0][0] for r in usual if r != "drums"},
            mode=self.modes.most_common(1)[0][0],
        )
