"""Styles: what the user names, and everything melodygen knows about one.

A ``Style`` holds how its music usually goes (tempo, meter, roles, General MIDI programs), how training data of the
style is arranged and orchestrated, and how the generator is sampled where its checkpoint does not say. A style is one
TOML file (``styles/data``, read by ``melodygen.styles.loader``) whose tables are the classes below; a file may leave
out any of them, and the defaults are those of a style about which nothing is known. Shares are probabilities, 0 to 1.
Programs count from 0 (General MIDI). In a list from which one entry is drawn, an entry that stands twice is drawn twice
as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMPING_PATTERNS = ("straight", "swing", "shuffle", "rag")
BASS_PATTERNS = ("walk", "two", "bossa", "shuffle", "eighths", "octaves", "push", "hold")
DRUM_PATTERNS = ("swing", "shuffle", "rock", "pop", "dance", "bossa", "march", "hand", "sparse")
LOGIT_BIASES = (
    "chord", "back", "home", "comping", "cymbals", "vary", "lock", "clash", "repeat", "bass_repeat", "key",
)  # fmt: skip
VOICE_STEMS = ("melody", "harmony", "bass", "extra")


def _share(default: float) -> Any:
    return field(default=default, metadata={"low": 0.0, "high": 1.0})


def _drawn(default: tuple[str, ...], choices: tuple[str, ...]) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class StyleDataset:
    """``[dataset]``: examples for the generator.

    Attributes:
        weight: how often the style is drawn, relative to a style of weight 1.
        own_takes: labels of human drum takes that count as this style when they are heard alone.
        drum_takes: labels of takes whose grooves a band plays under pieces without drums; none: no band is added.
        swing_grooves: share of these grooves that swing.
        write_bass: a bass is always written, because the sources hold none that somebody played.
        chorus_bars: bars of the chorus that windows keep to; 0 for none.
    """

    weight: float = field(default=1.0, metadata={"low": 0.0, "high": 1000.0})
    own_takes: tuple[str, ...] = ()
    drum_takes: tuple[str, ...] = ()
    swing_grooves: float = _share(0.05)
    write_bass: bool = False
    chorus_bars: int = field(default=0, metadata={"low": 0, "high": 64})


@dataclass(frozen=True)
class StyleArrangement:
    """``[arrangement]``: what views for the classifier add to a piece.

    Attributes:
        add_bass: share of views in which a missing bass (and missing chords) is written.
        add_drums: share of views in which missing drums are written.
        add_extra: share of views with one more voice (horns, riffs, pads), drawn twice.
        replace_bass: share of views with comping in which the piece's own bass is replaced.
        drum_takes: labels of human drum takes that suit the style.
        programmed_drums: share of added drums that are a programmed pattern although a take would suit.
        mma_files: regular expression for the groove files of the MMA project that suit; empty: none does.
    """

    add_bass: float = _share(0.5)
    add_drums: float = _share(0.4)
    add_extra: float = _share(0.1)
    replace_bass: float = _share(0.0)
    drum_takes: tuple[str, ...] = ()
    programmed_drums: float = _share(0.45)
    mma_files: str = ""


@dataclass(frozen=True)
class StyleAccompaniment:
    """``[accompaniment]``: how written voices play.

    Attributes:
        comping: pattern family of chords in 4/4.
        rootless: share of players that leave the root of a four-note chord to the bass.
        broken: share of views with broken chords in place of comping.
        strum_quarters: the slowest strum, as the delay from string to string, in quarters.
        bass: bass patterns, one drawn for a view.
        drums: drum patterns, one drawn for a view.
        horns: share of extra voices that harmonise the melody.
        riffs: share of extra voices that are riffs on the chords.
        rootless_riffs: riffs leave out the root.
        double_any: share of doubling voices that double any voice, not the melody.
    """

    comping: str = field(default="straight", metadata={"choices": COMPING_PATTERNS})
    rootless: float = _share(0.0)
    broken: float = _share(0.05)
    strum_quarters: float = field(default=0.0, metadata={"low": 0.0, "high": 0.25})
    bass: tuple[str, ...] = _drawn(("hold", "two"), BASS_PATTERNS)
    drums: tuple[str, ...] = _drawn(
        ("sparse", "sparse", "sparse", "hand", "rock", "pop", "swing"), DRUM_PATTERNS
    )
    horns: float = _share(0.0)
    riffs: float = _share(0.0)
    rootless_riffs: bool = False
    double_any: float = _share(0.0)


@dataclass(frozen=True)
class StyleOrchestration:
    """``[orchestration]``: which instruments play a view.

    Attributes:
        programs: programs typical of the style for each stem; a stem without any plays the style's own program for the
            role, else anything.
        native: a view may keep the programs of its source.
        keyboard: share of typical views that one keyboard plays.
        one_program: share of typical views that one of the melody's programs plays.
        console: share of views that a games console of the 1980s plays.
    """

    programs: Mapping[str, tuple[int, ...]] = field(
        default_factory=dict, metadata={"low": 0, "high": 127, "keys": VOICE_STEMS}
    )
    native: bool = False
    keyboard: float = _share(0.0)
    one_program: float = _share(0.0)
    console: float = _share(0.0)


@dataclass(frozen=True)
class StyleSampling:
    """``[sampling]``: how tokens are drawn where neither the request nor the checkpoint says it; None: its default."""

    temperature: float | None = field(default=None, metadata={"low": 0.01, "high": 10.0})
    top_p: float | None = field(default=None, metadata={"low": 0.01, "high": 1.0})

    def given(self) -> dict[str, float]:
        """The options that are said."""
        both = {"temperature": self.temperature, "top_p": self.top_p}
        return {name: value for name, value in both.items() if value is not None}


@dataclass(frozen=True)
class Style:
    """One style.

    Attributes:
        name: what the user names, in lower case.
        description: one line.
        qpm: usual tempo, quarters a minute.
        meter: usual meter.
        tracks: roles that play unless the user names others.
        programs: General MIDI program of each pitched role.
        mode: ``major`` or ``minor``.
        swing: where the off-beat eighth falls in the beat: 0.5 straight, 0.667 triplets. Models write swing out.
        progressions: usual ones, by name or in numerals (``melodygen.music.progression``), for ``--progression auto``.
        form: letters of the sections of a long piece (``melodygen.music.form``); empty: it is written through.
        logit_bias: nats added where the checkpoint does not say (fields of ``LogitBiasConfig``).
    """

    name: str
    description: str
    qpm: float = field(default=120.0, metadata={"low": 20.0, "high": 300.0})
    meter: tuple[int, int] = (4, 4)
    tracks: tuple[str, ...] = ("melody", "chords", "bass", "drums")
    programs: dict[str, int] = field(default_factory=dict, metadata={"low": 0, "high": 127})
    mode: str = field(default="major", metadata={"choices": ("major", "minor")})
    swing: float = field(default=0.5, metadata={"low": 0.5, "high": 0.75})
    progressions: tuple[str, ...] = ()
    form: str = "AABA"
    dataset: StyleDataset = StyleDataset()
    arrangement: StyleArrangement = StyleArrangement()
    accompaniment: StyleAccompaniment = StyleAccompaniment()
    orchestration: StyleOrchestration = StyleOrchestration()
    sampling: StyleSampling = StyleSampling()
    logit_bias: Mapping[str, float] = field(
        default_factory=dict, metadata={"low": -20.0, "high": 20.0, "keys": LOGIT_BIASES}
    )

    @property
    def is_swung(self) -> bool:
        """Whether off-beat eighths come late."""
        return self.swing > 0.5


def style_named(name: str, styles: Mapping[str, Style]) -> Style:
    """The style of that name, or one about which nothing is known."""
    return styles.get(name) or Style(name, "")
