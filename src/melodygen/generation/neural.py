"""The built-in generator: a sequence net that is sampled under the grammar.

A request becomes a header and, bar by bar, tokens that are forced (chords, given roles) or drawn. Prompts and
the bars around an infill are context. All drafts of a call are written together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from melodygen.contracts import Draft
from melodygen.errors import CheckpointError, UsageError
from melodygen.generation.logit_bias import LogitBiasConfig
from melodygen.generation.naming import named_as_asked
from melodygen.generation.prompt import TokenPlan
from melodygen.generation.sampling import SamplingOptions, write_each
from melodygen.generation.stream import PieceStream
from melodygen.nets import checkpoint as checkpoints
from melodygen.nets.decoder import TransformerDecoder, quickest_dtype
from melodygen.nets.lstm import Lstm
from melodygen.nets.prompt_spans import ChunkedPrompt
from melodygen.nets.sequence_net import SequenceNet
from melodygen.nets.style_mixture import StyleMixture
from melodygen.nets.transformer import Transformer
from melodygen.registry import list_styles
from melodygen.request import Request
from melodygen.styles.mixture import mixed_style, style_shares
from melodygen.styles.style import Style, style_named
from melodygen.tokens.vocabulary import EARLIER_VOCABULARIES, VOCABULARY

NETS: dict[str, Callable[..., Any]] = {"transformer": Transformer, "lstm": Lstm}
DEFAULT_SAMPLING = {"temperature": 0.9, "top_p": 0.95}
"""Sampling of a model whose config has no ``sampling``."""


TILTS = (1.0, 2.0, 4.0)
"""By so much the net's share of the styles behind the first is raised in a mixture's candidates."""
TILT_STREAM = 24
"""Random stream of a seed: which of them."""
CARRIED = ("name", "description", "qpm", "meter", "tracks", "programs", "mode", "swing")
"""The fields of a Style that a checkpoint's config holds."""


class NeuralGenerator:
    """A ``contracts.Generator`` over a sequence net; it writes forms itself.

    Args:
        net: a trained ``Transformer`` or ``Lstm``.
        styles: the styles the net knows, in the order of its style slots.
        model_id: name and hash that go into the provenance.
        density_quantiles: of each style, density levels at evenly spaced quantiles of its training bars.
        logit_bias: fields of ``LogitBiasConfig`` by style.
        sampling: ``temperature`` and ``top_p`` by style.
    """

    writes_form = True

    def __init__(
        self, net: Any, styles: Mapping[str, Style], model_id: str, density_quantiles: Mapping[str, Sequence[float]],
        logit_bias: Mapping[str, Mapping[str, float]] | None = None,
        sampling: Mapping[str, Mapping[str, float]] | None = None, again: bool = True,
    ) -> None:  # fmt: skip
        self.net = _decoder(net) if isinstance(net, Transformer) else net.eval()
        self.model_id = model_id
        self.style_info = dict(styles)
        self.styles = tuple(styles)
        self._density = dict(density_quantiles)
        self._again = again
        self._sampling = {name: {**DEFAULT_SAMPLING, **(sampling or {}).get(name, {})} for name in styles}
        self._logit_bias = {name: LogitBiasConfig.from_config(logit_bias or {}, name) for name in styles}

    @classmethod
    def from_folder(cls, folder: str | Path) -> NeuralGenerator:
        """Load a generator from a checkpoint folder.

        Raises:
            CheckpointError: the folder is not a generator of this vocabulary.
        """
        folder = Path(folder)
        config = checkpoints.read_config(folder, "generator")
        vocabulary = config.get("vocabulary_id")
        if vocabulary != VOCABULARY.vocabulary_id and vocabulary not in EARLIER_VOCABULARIES:
            raise CheckpointError(
                f"checkpoint {folder} speaks vocabulary {vocabulary}; this melodygen speaks "
                f"{VOCABULARY.vocabulary_id}: use the melodygen that wrote it, or train again"
            )
        try:
            arguments = dict(config["net"])
            net = NETS[arguments.pop("type")](VOCABULARY.size, **arguments)
            for style in config["styles"]:
                style_from_json(style)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {folder}: config.json lacks or misstates {error}") from error
        checkpoints.load_weights(folder, net)
        return cls.from_net(net, config, f"{folder.resolve().name}@{checkpoints.weights_sha256(folder)[:12]}")

    @classmethod
    def from_net(cls, net: Any, config: Mapping[str, Any], model_id: str) -> NeuralGenerator:
        """Return the generator of a net that is loaded; ``config`` is that of its checkpoint."""
        styles = {s["name"]: style_from_json(s) for s in config["styles"]}
        known = list_styles()  # a style's own file says what the checkpoint does not
        by_name = {name: style_named(name, known) for name in styles}
        styles = {
            name: replace(
                style,
                progressions=by_name[name].progressions,
                form=by_name[name].form,
                dataset=by_name[name].dataset,
            )
            for name, style in styles.items()
        }
        sampling = {name: style.sampling.given() for name, style in by_name.items() if style.sampling.given()}
        logit_bias = {name: style.logit_bias for name, style in by_name.items() if style.logit_bias}
        return cls(
            net, styles, model_id, config.get("density_quantiles", {}),
            {**logit_bias, **config.get("logit_bias", {})}, {**sampling, **config.get("sampling", {})},
            again=config.get("vocabulary_id") == VOCABULARY.vocabulary_id,
        )  # fmt: skip

    def generate(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[Draft]:
        """Return one draft for each seed, in order.

        With ``prompt`` a draft holds the bars after it. With ``given`` it holds the given roles (all of them
        where none are named) and the new ones, at least as many bars as the given piece has. With ``fill`` it
        holds the whole piece with its gap filled. Given music stays as it is on the grid of the tokens
        (twelfths of a quarter), and so does its meter.

        Args:
            request: what to write.
            seeds: one seed for each draft.
            progress: called with the share that is done, 0.0 to 1.0.

        Raises:
            UsageError: the request asks for what the net cannot say.
        """
        return [draft for draft, _ in self.write(request, seeds, progress)]

    def write(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> list[tuple[Draft, PieceStream]]:
        """Return each draft with the stream of tokens that it was written as; see ``generate``."""
        written = [one for some in self.write_each(request, seeds, progress) for one in some]
        return [(draft, stream) for _, draft, stream in sorted(written, key=lambda one: one[0])]

    def generate_each(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[list[tuple[int, Draft]]]:
        """Yield the drafts that are ready, each with the index of its seed, while the others are written.

        Raises:
            UsageError: the request asks for what the net cannot say.
        """
        for some in self.write_each(request, seeds, progress):
            yield [(index, draft) for index, draft, _ in some]

    def write_each(
        self,
        request: Request,
        seeds: Sequence[int],
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[list[tuple[int, Draft, PieceStream]]]:
        """Yield what is ready with its stream; see ``generate_each``."""
        for name in style_shares(request.style):
            if name not in self.style_info:
                raise UsageError(
                    f"style {name!r} is not known to this model; known: {', '.join(self.styles)}"
                )
        plan = self._plan(request)
        streams = [plan.stream(seed) for seed in seeds]
        total = max(1, len(streams) * plan.num_bars)
        reported = -1.0

        def on_step() -> None:
            nonlocal reported
            done = sum(len(s.bars) for s in streams) / total
            if progress is not None and done - reported >= 0.02:
                reported = done
                progress(min(1.0, done))

        defaults = self._mixed(request.style, self._sampling)
        options = SamplingOptions(
            defaults["temperature"] if request.temperature is None else request.temperature,
            request.top_k,
            defaults["top_p"] if request.top_p is None else request.top_p,
        )
        place = {id(stream): index for index, stream in enumerate(streams)}
        for net, group in self._nets(request.style, streams, seeds):
            for ended in write_each(net, group, options, net.context, on_step):
                indices = [place[id(group[i])] for i in ended]
                yield [(i, _draft(plan, request, streams[i], seeds[i]), streams[i]) for i in indices]
        if progress is not None:
            progress(1.0)

    def _plan(self, request: Request) -> TokenPlan:
        shares = style_shares(request.style)
        style = mixed_style(request.style, [self.style_info[name] for name in shares])
        bias = LogitBiasConfig(
            **self._mixed(request.style, {n: asdict(b) for n, b in self._logit_bias.items()})
        )
        density = {style.name: self._mixed_levels(shares)} if shares.keys() <= self._density.keys() else {}
        slot = self.styles.index(next(iter(shares)))
        return TokenPlan(request, style, slot, density, self.net.context, bias, self._again)

    def _nets(
        self, style: str, streams: Sequence[PieceStream], seeds: Sequence[int]
    ) -> list[tuple[SequenceNet, list[PieceStream]]]:
        """The net with all streams; for a mixture the net under each style's header, with the streams of each tilt.

        The first style gives tracks and instruments, and so it is heard first: candidates give the others more than
        their share by a tilt that the seed draws, and the loop chooses the one that is nearest to the shares.
        """
        shares = style_shares(style)
        if len(shares) == 1:
            return [(self.net, list(streams))]
        tokens = [VOCABULARY.id("style", 1 + self.styles.index(name)) for name in shares]
        tilted: dict[float, list[PieceStream]] = {}
        for stream, seed in zip(streams, seeds, strict=True):
            rng = np.random.default_rng([seed, TILT_STREAM])
            tilted.setdefault(TILTS[int(rng.integers(len(TILTS)))], []).append(stream)
        nets: list[tuple[SequenceNet, list[PieceStream]]] = []
        for tilt, group in sorted(tilted.items()):
            weights = np.array([s * (1.0 if i == 0 else tilt) for i, s in enumerate(shares.values())])
            own = dict(zip(tokens, (weights / weights.sum()).tolist(), strict=True))
            nets.append((StyleMixture(self.net, tokens[0], own), group))
        return nets

    @staticmethod
    def _mixed(style: str, tables: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Values of a style by name; of a mixture their means by share."""
        shares = style_shares(style)
        if len(shares) == 1:
            return dict(tables[style])
        return {key: sum(s * tables[n][key] for n, s in shares.items()) for key in tables[next(iter(shares))]}

    def _mixed_levels(self, shares: Mapping[str, float]) -> list[float]:
        places = np.linspace(0, 1, 5)
        levels = np.zeros(len(places))
        for name, share in shares.items():
            own = self._density[name]
            levels += share * np.interp(places, np.linspace(0, 1, len(own)), own)
        return [float(level) for level in levels]


def _draft(plan: TokenPlan, request: Request, stream: PieceStream, seed: int) -> Draft:
    written = plan.score(stream)
    asked = plan.as_asked(written)
    score = named_as_asked(asked, request)
    count = len(stream.log_probs)
    log_prob = float(np.mean(stream.log_probs)) if count else 0.0
    before = None if asked == written else written
    return Draft(score, seed, log_prob, count, before, obtained=plan.obtained(score))


def _decoder(net: Transformer) -> SequenceNet:
    dtype = quickest_dtype()
    decoder = TransformerDecoder(net, dtype)
    return ChunkedPrompt(decoder) if dtype == torch.bfloat16 else decoder


def style_to_json(style: Style) -> dict[str, Any]:
    """Return what a checkpoint holds of a style: enough to use it where the style's file is not installed."""
    return {name: getattr(style, name) for name in CARRIED} | {
        "meter": list(style.meter),
        "tracks": list(style.tracks),
    }


def style_from_json(record: Mapping[str, Any]) -> Style:
    """Return the style of a ``config.json`` entry. Raises KeyError or TypeError for missing or unknown
    fields.
    """
    values = dict(record)
    values["meter"] = tuple(values["meter"])
    values["tracks"] = tuple(values["tracks"])
    return Style(**values)


def load_generator(spec: str = "") -> NeuralGenerator:
    """Return the generator of a checkpoint. Raises CheckpointError where it cannot be loaded.

    Args:
        spec: name or folder of a checkpoint; empty for the shipped one.
    """
    return NeuralGenerator.from_folder(checkpoints.resolve(spec, checkpoints.DEFAULT_GENERATOR))
