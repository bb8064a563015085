"""Write the openings that `melodygen live` plays while its models load: two phrases in each built-in style.

    python scripts/write_openings.py [STYLE ...] [--candidates 3]

They are written as phrases of a live session are, with the shipped models, the style's tempo, meter and tracks: the
first, by seed, that begin within the first beat and are heard as the style. Run it again when another generator is
shipped. The same models write the same files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from melodygen.engine.phrase import Phrase
from melodygen.engine.stored_opening import FOLDER, PER_STYLE
from melodygen.engine.writer import ModelWriter, PhraseRequest
from melodygen.io.midi import write_midi
from melodygen.request import Request
from melodygen.services.models import ModelNames, load_models
from melodygen.styles.loader import built_in_styles
from melodygen.styles.style import Style

BARS = 4
FIRST_SEED, MOST_SEEDS = 4001, 12
HEARD = 0.5
"""Style probability."""


def written(writer: ModelWriter, style: Style, candidates: int) -> Iterator[Phrase]:
    """Phrases that may open, by seed."""
    request = Request(style.name, BARS, qpm=style.qpm, meter=style.meter, tracks=style.tracks, goes_on=True)
    for seed in range(FIRST_SEED, FIRST_SEED + MOST_SEEDS):
        phrase = writer.write(PhraseRequest(request, seed, candidates))
        first = min(int(track.notes["onset_tick"].min()) for track in phrase.score.tracks if len(track))
        has_all = {track.role for track in phrase.score.tracks if len(track)} == set(style.tracks)
        if has_all and first < phrase.score.ticks_per_quarter and (phrase.style_probability or 0.0) >= HEARD:
            yield phrase


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("styles", nargs="*", default=list(built_in_styles()))
    parser.add_argument("--candidates", type=int, default=3)
    asked = parser.parse_args()
    models = load_models(ModelNames())
    writer = ModelWriter(models.generator, models.renderer, models.classifier)
    for style in asked.styles:
        phrases = written(writer, built_in_styles()[style], asked.candidates)
        for number, phrase in enumerate(islice(phrases, PER_STYLE), 1):
            text = f"melodygen stored opening: {models.generator.model_id}, seed {phrase.seed}, style probability "
            text += f"{phrase.style_probability:.2f}, the best of {asked.candidates}"
            path = Path(str(FOLDER)) / f"{style}-{number}.mid"
            write_midi(path, phrase.score, [text], overwrite=True)
            print(path.name, text, flush=True)


if __name__ == "__main__":
    main()
