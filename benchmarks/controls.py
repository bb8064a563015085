"""Whether pieces have what was asked for: controls, untouched events, themes that return.

    python benchmarks/controls.py [density syncopation leap_share exact untouched form mixture] [--corpus DIR]

Each measure writes its figures and the model into docs/evaluation_controls.json beside those that are there; those
without a model of their own are of the file's. Pieces are drafts:
nothing is chosen among candidates, except of mixtures. Seeds begin at 9000; none of them was looked at when the
controls were made.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
from scipy.stats import spearmanr

from melodygen.contracts import Generator
from melodygen.evaluation.tables import write_json
from melodygen.generation.arrangement import arrange, cut
from melodygen.generation.changes import SpanWriter, find_tracks
from melodygen.generation.obtained import largest_leap, of_playing
from melodygen.generation.performance import perform
from melodygen.io.midi import read_midi, write_midi
from melodygen.library.lines import Steps, lines_of, phrase_of_score
from melodygen.library.phrase import MAX_NOTES, find_phrase
from melodygen.library.rows import Rows
from melodygen.music.form import Form
from melodygen.music.score import Score
from melodygen.request import Request
from melodygen.services.models import LoadedModels, ModelNames, load_generator, load_models
from melodygen.services.user_file import read_user_file
from melodygen.styles.mixture import style_probability

OUT = Path(__file__).resolve().parent.parent / "docs/evaluation_controls.json"
FIRST_SEED = 9000
BARS = 4
TRACKS = "melody,chords,bass"
LEVELS = {
    "density": (0.0, 0.25, 0.5, 0.75, 1.0), "syncopation": (0.0, 0.2, 0.4, 0.6, 0.8),
    "leap_share": (0.0, 0.2, 0.4, 0.6, 0.8),
}  # fmt: skip
STYLES = ("jazz", "folk", "pop")
FORM_STYLES = ("folk", "jazz", "pop", "hymn", "classical")
SECTION_BARS = (8, 4)
CORPUS_TUNES = 600
MIXTURES, LATER_SHARES = (("jazz", "folk"), ("pop", "rock")), (0.0, 0.3, 0.5, 0.7)
Sections = list[Score]
"""Of one piece, in order."""


def ranked(generator: Generator, pieces: int, styles: list[str]) -> Callable[[str], dict[str, Any]]:
    """Asked and obtained of a control in steps, by style and parts; counted here, in onsets."""

    def measure(control: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        cases = [(style, TRACKS) for style in styles]
        cases += [("jazz", "melody")] if control == "density" and "jazz" in styles else []
        for style, tracks in cases:
            asked, obtained = [], []
            for step, level in enumerate(LEVELS[control]):
                count = pieces // len(LEVELS[control])
                seeds = list(range(FIRST_SEED + step * count, FIRST_SEED + (step + 1) * count))
                request = Request.of(style, bars=BARS, tracks=tracks, **{control: level})
                for draft in generator.generate(request, seeds):
                    asked.append(level)
                    obtained.append(COUNTED[control](draft.score))
            name = f"{style}: {tracks}"
            means = [
                round(float(np.mean([o for a, o in zip(asked, obtained, strict=True) if a == level])), 3)
                for level in LEVELS[control]
            ]
            found[name] = {
                "n": len(asked), "asked": LEVELS[control], "obtained": means,
                "rank_correlation": round(float(spearmanr(asked, obtained)[0]), 3),
            }  # fmt: skip
            print(control, name, found[name], flush=True)
        return found

    return measure


def onsets_a_bar(score: Score) -> float:
    return sum(len(np.unique(t.notes["onset_tick"])) for t in score.tracks) / BARS


def off_share(score: Score) -> float:
    """Mean over the pitched parts: share of onsets off the quarters whose next quarter has no onset."""
    quarter, shares = score.ticks_per_quarter, []
    for track in (t for t in score.tracks if not t.is_drum and len(t)):
        onsets = set(track.notes["onset_tick"].tolist())
        shares.append(
            np.mean([bool(at % quarter) and (at // quarter + 1) * quarter not in onsets for at in onsets])
        )
    return float(np.mean(shares)) if shares else 0.0


def wide_share(score: Score) -> float:
    """Of the melody's moves to another pitch, the share wider than two semitones."""
    melody = score.track_by_role("melody")
    tops: dict[int, int] = {}
    for onset, _, pitch, _ in () if melody is None else melody.notes.tolist():
        tops[onset] = max(pitch, tops.get(onset, 0))
    moves = [abs(b - a) for a, b in itertools.pairwise(tops[at] for at in sorted(tops)) if a != b]
    return sum(width > 2 for width in moves) / len(moves) if moves else 0.0


COUNTED = {"density": onsets_a_bar, "syncopation": off_share, "leap_share": wide_share}


def exact(generator: Generator, pieces: int) -> dict[str, Any]:
    """What is asked for exactly, read from the MIDI file by mido."""
    rng = np.random.default_rng(FIRST_SEED)
    hits: dict[str, list[bool]] = {}
    for number in range(pieces):
        style = str(rng.choice(["jazz", "folk", "pop", "hymn", "game"]))
        key = str(
            rng.choice(["C", "G", "D", "A", "E", "F", "Bb", "Eb", "Ab", "Am", "Em", "Dm", "Gm", "Cm", "F#m"])
        )
        asked = {
            "bars": int(rng.integers(4, 7)), "qpm": int(rng.integers(60, 200)), "key": key,
            "meter": str(rng.choice(["4/4", "3/4"])), "leap": int(rng.integers(3, 9)), "intro": int(rng.integers(0, 3)),
            "note_length": float(rng.choice([0.3, 0.6, 1.0])),
            "instruments": f"melody={rng.integers(56, 80)},chords={rng.integers(0, 32)},bass={rng.integers(32, 40)}",
        }  # fmt: skip
        request = Request.of(style, tracks="melody,chords,bass", flat=True, **asked)
        draft = generator.generate(request, [FIRST_SEED + number])[0]
        score = perform(draft.score, request, draft.seed)
        for name, hit in checks(score, request, asked).items():
            hits.setdefault(name, []).append(hit)
    return {name: {"n": len(row), "share": round(float(np.mean(row)), 4)} for name, row in hits.items()}


def checks(score: Score, request: Request, asked: dict[str, Any]) -> dict[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        write_midi(Path(folder) / "a.mid", score)
        midi = mido.MidiFile(Path(folder) / "a.mid")
    first = list(midi.tracks[0])
    meters = {f"{m.numerator}/{m.denominator}" for m in first if m.type == "time_signature"}
    bar = midi.ticks_per_beat * int(asked["meter"][0])
    programs = {t.role: t.program for t in score.tracks}
    in_file = {m.channel: m.program for t in midi.tracks for m in t if m.type == "program_change"}
    melody = score.track_by_role("melody")
    begins = None if melody is None else int(melody.notes["onset_tick"].min()) // bar
    held = of_playing(score, request).get("note_length", 0.0)
    found = {
        "key signature": [m.key for m in first if m.type == "key_signature"] == [asked["key"]],
        "tempo": [round(mido.tempo2bpm(m.tempo)) for m in first if m.type == "set_tempo"] == [asked["qpm"]],
        "meter": meters == {asked["meter"]},
        "bars": (asked["bars"] - 1) * bar < midi_end(midi) <= asked["bars"] * bar,
        "instruments": all(dict(request.instruments)[role] == p for role, p in programs.items())
        and sorted(in_file.values()) == sorted(programs.values()),
        "largest leap": melody is None or largest_leap(melody) <= asked["leap"],
        "note length within 0.05": abs(held - asked["note_length"]) <= 0.05,
    }  # fmt: skip
    if asked["intro"]:
        found["introduction"] = begins == asked["intro"]
    return found


def midi_end(midi: mido.MidiFile) -> int:
    """Tick of the last note-off."""
    return max(
        sum(m.time for m in itertools.islice(track, index + 1))
        for track in midi.tracks
        for index, m in list(enumerate(track))[-3:]
        if m.type in ("note_off", "note_on")
    )


def untouched(generator: Generator, pieces: int) -> dict[str, Any]:
    """Files whose bars 2 and 3 of one part are written anew: mido looks for each event outside in the new file."""
    counted, whole, events, lost = 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "a.mid", Path(name) / "b.mid"
        for number in range(pieces):
            style, role = STYLES[number % 3], TRACKS.split(",")[number // 3 % 3]
            request = Request.of(style, bars=BARS, tracks=TRACKS, meter="4/4")
            score = generator.generate(request, [FIRST_SEED + number])[0].score
            if score.track_by_role(role) is None:
                continue
            write_midi(source, score, overwrite=True)
            file = read_user_file(source)
            targets = find_tracks(file.score, [role])
            asked = replace(request, given=file.score, fill=(1, 2))
            changed = SpanWriter(generator, targets, ((1, 2),)).generate(asked, [number])[0].score
            file.write(target, changed, asked, (), True)
            before, after = outside(source, role), outside(target, role)
            missing = sum((before - after).values())
            events, lost, whole = events + sum(before.values()), lost + missing, whole + (not missing)
            counted += 1
    return {"n": counted, "files_whole": whole, "events_outside": events, "events_lost": lost}


def outside(path: Path, role: str) -> Any:
    """(track, tick, message) of all events but the notes of ``role`` that begin in bars 2 and 3, and texts."""
    from collections import Counter

    found: Any = Counter()
    midi = mido.MidiFile(path)
    for number, track in enumerate(midi.tracks):
        tick, name = 0, next((m.name for m in track if m.type == "track_name"), "")
        sounding: dict[int, list[int]] = {}
        for message in track:
            tick += message.time
            bar = tick // (4 * midi.ticks_per_beat)
            if message.type in ("text", "end_of_track") or (
                message.type == "track_name" and name == "melodygen"
            ):
                continue
            if message.type in ("note_on", "note_off"):
                begins = message.type == "note_on" and message.velocity > 0
                onset = tick if begins else sounding.get(message.note, [tick]).pop(0)
                if begins:
                    sounding.setdefault(message.note, []).append(tick)
                bar = onset // (4 * midi.ticks_per_beat)
                if name == role and bar in (1, 2):
                    continue
            found[number, tick, str(message.copy(time=0))] += 1
    return found


def form(generator: Generator, pieces: int, corpus: Path) -> dict[str, Any]:
    """AABA of sections of 4 and of 8 bars, as ``generate`` writes it and as ``arrange`` makes it: whether the library's
    phrase search knows a returning theme again.
    """
    tunes = corpus_steps(corpus)
    found: dict[str, Any] = {}
    for bars, (how, write) in itertools.product(
        SECTION_BARS, (("written", written_form), ("arranged", arranged_form))
    ):
        sections = [melodies(write(generator, number, bars)) for number in range(pieces)]
        found[f"{how}, sections of {bars} bars"] = (
            {"n": pieces} | recognised(sections, tunes) | nearest_sections(sections)
        )
        print(f"{how}, sections of {bars} bars", found[f"{how}, sections of {bars} bars"], flush=True)
    return found


def written_form(generator: Generator, number: int, bars: int) -> Score:
    """A piece in the form."""
    request = form_request(number, bars=4 * bars, form="AABA")
    return generator.generate(request, [FIRST_SEED + number])[0].score


def arranged_form(generator: Generator, number: int, bars: int) -> Score:
    """A theme that is brought into the form."""
    request, seed = form_request(number, bars=bars), FIRST_SEED + number
    theme = generator.generate(replace(request, goes_on=True), [seed])[0].score
    return arrange(theme, Form("AABA", bars), generator, request, seed, _silent)


def form_request(number: int, **controls: Any) -> Request:
    """What the piece of this number is asked for."""
    style = FORM_STYLES[number % len(FORM_STYLES)]
    return Request.of(style, tracks="melody,chords,bass", meter="4/4", **controls)


def melodies(piece: Score) -> Sections:
    """The melody of each section."""
    starts = [*(s.tick for s in piece.sections), piece.bar_ticks()[-1]]
    parts = [cut(piece, first, end) for first, end in itertools.pairwise(starts)]
    return [replace(p, tracks=tuple(t for t in p.tracks if t.role == "melody")) for p in parts]


def corpus_steps(corpus: Path) -> list[Steps]:
    """Lines of tunes of the corpus's valid part."""
    with (corpus / "manifest.csv").open(newline="") as file:
        paths = [r["path"] for r in csv.DictReader(file) if r["split"] == "valid" and r["kind"] == "piece"]
    chosen = np.random.default_rng(FIRST_SEED).permutation(paths)[:CORPUS_TUNES]
    return [steps for path in chosen if len(steps := lines_of(read_midi(corpus / path))[1])]


def rows_of(steps: list[Steps]) -> Rows:
    """What the phrase search scans; texts without a line are left out and keep their number."""
    kept = [i for i, s in enumerate(steps) if len(s)]
    count = np.array([len(steps[i]) for i in kept])
    return Rows(np.concatenate([steps[i] for i in kept]), np.cumsum(count) - count, count, np.array(kept))


def recognised(pieces: list[Sections], tunes: list[Steps]) -> dict[str, Any]:
    """Asked for the melody of a later section, the search looks through the first A of every piece and the tunes of the
    corpus: whether it names the first A of that piece. It should for a returning A, and should not for B."""
    rows = rows_of([*(lines_of(sections[0])[1] for sections in pieces), *tunes])
    names = {1: "second_a_finds_the_first", 3: "last_a_finds_the_first", 2: "b_finds_the_first_a"}
    hits: dict[int, list[bool]] = {place: [] for place in names}
    for number, sections in enumerate(pieces):
        if not len(lines_of(sections[0])[1]):
            continue
        for place in names:
            has_line = bool(len(lines_of(sections[place])[1]))
            phrase = phrase_of_score(sections[place], MAX_NOTES) if has_line else None
            hits[place].append(phrase is not None and find_phrase(phrase, rows, 1)[0].track_id == number)
    return {
        "with_a_melody_to_ask_for": len(hits[1]), "looked_through": len(rows.track), "tunes_of_the_corpus": len(tunes),
        "returns_that_find_the_first_a": round(float(np.mean(hits[1] + hits[3])), 4),
    } | {name: round(float(np.mean(hits[place])), 4) for place, name in names.items()}  # fmt: skip


def nearest_sections(pieces: list[Sections]) -> dict[str, Any]:
    """Asked for the first A, the search looks through all sections of all pieces."""
    places = [(number, place) for number, sections in enumerate(pieces) for place in range(len(sections))]
    rows = rows_of([lines_of(pieces[number][place])[1] for number, place in places])
    returns, contrasts, foreign = [], [], []
    for number, sections in enumerate(pieces):
        if not len(lines_of(sections[0])[1]):
            continue
        hits = find_phrase(phrase_of_score(sections[0], MAX_NOTES), rows, len(rows.track))
        like = {places[h.track_id]: h.likeness for h in hits if places[h.track_id] != (number, 0)}
        returns.append(set(sorted(like, key=lambda k: -like[k])[:2]) == {(number, 1), (number, 3)})
        contrasts.append(like.get((number, 2), 0.0))
        foreign += [value for (other, _), value in like.items() if other != number]
    unlike = float(np.quantile(foreign, 0.95))
    return {
        "sections": len(places),
        "both_returns_are_the_two_nearest_of_all_sections": round(float(np.mean(returns)), 4),
        "b_no_more_like_a_than_95_percent_of_other_pieces": round(float(np.mean(np.array(contrasts) <= unlike)), 4),
        "likeness_of_other_pieces_95th_percentile": round(unlike, 4),
    }  # fmt: skip


def mixture(models: LoadedModels, pieces: int, shares: list[float]) -> dict[str, Any]:
    """The classifier's probabilities of both styles by the share of the second: of all drafts, and of the best of each
    eight."""
    found: dict[str, Any] = {}
    for first, second in MIXTURES:
        for share in shares:
            style = f"{first}:{1 - share:.1f},{second}:{share:.1f}" if share else first
            found[style] = mixed(models, pieces, style, (first, second))
            print(style, found[style], flush=True)
    return found


def mixed(models: LoadedModels, pieces: int, style: str, names: tuple[str, str]) -> dict[str, Any]:
    request = replace(
        Request.of(style, bars=BARS),
        tracks=models.generator.style_info[names[0]].tracks,  # type: ignore[attr-defined]
    )
    rows = []
    for draft in models.generator.generate(request, list(range(FIRST_SEED, FIRST_SEED + pieces))):
        audio = models.renderer.render(perform(draft.score, request, draft.seed), 22_050, quality="draft")
        scores = models.classifier.classify([audio])[0]
        rows.append([*(scores[name] for name in names), style_probability(scores, style)])
    table = np.array(rows)
    best = np.array([group[group[:, -1].argmax()] for group in np.array_split(table, max(1, pieces // 8))])
    return {
        "n": pieces, "styles": names, "mean_probability": np.round(table[:, :-1].mean(axis=0), 3).tolist(),
        "nearness_to_the_mixture": round(float(table[:, -1].mean()), 3),
        "best_of_eight": np.round(best.mean(axis=0), 3).tolist(),
    }  # fmt: skip


def _silent(stage: str, done: float) -> None:
    return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("density", "syncopation", "leap_share", "exact", "untouched", "form", "mixture")
    parser.add_argument("measures", nargs="*", choices=[*names, []], default=list(names))
    parser.add_argument("--pieces", type=int, default=50)
    parser.add_argument("--styles", default=",".join(STYLES), help="of density, syncopation and leap_share")
    parser.add_argument("--corpus", type=Path, help="of form: the folder of manifest.csv")
    parser.add_argument(
        "--shares", default=",".join(map(str, LATER_SHARES)), help="of the second style of a mixture"
    )
    asked = parser.parse_args()
    if asked.corpus is None and "form" in asked.measures:
        parser.error("form looks through tunes of the corpus: give --corpus DIR")
    generator = load_generator()
    steps = ranked(generator, asked.pieces, asked.styles.split(","))
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "density": lambda: steps("density"),
        "syncopation": lambda: steps("syncopation"),
        "leap_share": lambda: steps("leap_share"),
        "exact": lambda: exact(generator, asked.pieces),
        "untouched": lambda: untouched(generator, asked.pieces),
        "form": lambda: form(generator, asked.pieces, asked.corpus),
        "mixture": lambda: mixture(
            load_models(ModelNames(), generator), asked.pieces, [float(s) for s in asked.shares.split(",")]
        ),
    }
    for name in asked.measures:
        record = json.loads(OUT.read_text()) if OUT.exists() else {}
        figures = work[name]()
        measured = record.get(name, {}) | figures | {"model": generator.model_id}
        write_json(OUT, {"model": generator.model_id} | record | {name: measured})
        print(name, json.dumps(figures, indent=1), flush=True)


if __name__ == "__main__":
    main()
