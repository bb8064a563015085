"""Views, their store, and that training on them learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from melodygen.audio.features import Features, FrontEndConfig, log_levels
from melodygen.data.accompaniment import bass_line, drum_pattern
from melodygen.data.orchestration import HELD_OUT_PROGRAMS
from melodygen.data.scan import SourceFile
from melodygen.data.stems import Source, StemBar, read_source
from melodygen.data.views import AS_IS, TRAINING, UNKNOWN_INSTRUMENTS, ViewMaker
from melodygen.errors import CorpusError
from melodygen.io.midi import write_midi
from melodygen.music.harmony import CHORD_QUALITIES
from melodygen.music.score import Chord, Score, Track, note_array
from melodygen.nets.cnn import StyleCnn
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.styles.loader import built_in_styles
from melodygen.tokens.vocabulary import CHORD_QUALITY_NAMES
from melodygen.training.classifier.trainer import (
    Augmentation,
    ClassifierRecipe,
    Mixer,
    disagreement,
    distorted,
    logits_of,
    plain_mix,
    train,
    usual_mix,
)
from melodygen.training.classifier.view_rendering import ViewSource, group_files, render_store
from melodygen.training.classifier.view_store import (
    Entry,
    Store,
    StoreWriter,
    frames_in,
    levels_of,
    open_store,
    power_table,
    render_stems,
)

CONFIG = FrontEndConfig()


def lead_sheet(tmp_path: Path, style: str) -> Source:
    """16 bars of a tune over block chords, as a file of the corpus would hold it."""
    notes = [(i * 240, 220, 60 + (i * 5) % 12, 80) for i in range(128)]
    labels = [("C:maj7", "A:min7", "D:min7", "G:7")[i % 4] for i in range(16)]
    chords = tuple(Chord(i * 1920, label) for i, label in enumerate(labels))
    blocks = [(i * 1920, 1900, p, 60) for i in range(16) for p in (48, 52, 55, 59)]
    tune = Track(note_array(notes), 0, False, "melody", "melody")
    score = Score((tune, Track(note_array(blocks), 0, False, "chords", "chords")), chords=chords)
    path = tmp_path / f"{style}.mid"
    write_midi(path, score)
    source = read_source(SourceFile(path, f"{style}/openewld/x.mid", style))
    assert source is not None
    return source


@pytest.mark.parametrize("style", ["jazz", "pop", "classical", "game"])
def test_views_are_whole_and_repeatable(tmp_path: Path, style: str) -> None:
    source, maker = lead_sheet(tmp_path, style), ViewMaker()
    assert source.blocks and source.collection == f"{style}/openewld"
    arrangements = set()
    for seed in range(25):
        view = maker.make(source, np.random.default_rng(seed))
        same = maker.make(source, np.random.default_rng(seed))
        assert view is not None and same is not None and view.score == same.score
        assert "melody" in view.stems and len(view.stems) == len(view.score.tracks)
        assert view.score.duration_seconds < TRAINING.seconds + 4
        assert abs(np.log(view.score.qpm / source.qpm)) <= TRAINING.tempo + 1e-9
        programs = {t.program for t, s in zip(view.score.tracks, view.stems, strict=True) if s != "drums"}
        assert not programs & HELD_OUT_PROGRAMS
        arrangements.add(view.stems)
    assert len(arrangements) > 1
    if style == "jazz":
        assert sum("bass" in a for a in arrangements) and sum("drums" in a for a in arrangements)


def test_without_completion_nothing_is_written_or_replaced(tmp_path: Path) -> None:
    source = lead_sheet(tmp_path, "jazz")
    how = replace(TRAINING, as_is=0.0, complete=0.0, transpose=0, tempo=0.0, jitter=0.0)
    for seed in range(10):
        view = ViewMaker().make(source, np.random.default_rng(seed), how)
        written = ViewMaker().make(source, np.random.default_rng(seed), replace(AS_IS, seconds=how.seconds))
        assert (
            view is not None and written is not None and view.stems == written.stems == ("melody", "harmony")
        )
        pairs = zip(view.score.tracks, written.score.tracks, strict=True)
        assert all(a.notes["pitch"].tolist() == b.notes["pitch"].tolist() for a, b in pairs)


def test_unknown_instruments_are_all_held_out(tmp_path: Path) -> None:
    source = lead_sheet(tmp_path, "jazz")
    for seed in range(5):
        view = ViewMaker().make(source, np.random.default_rng(seed), UNKNOWN_INSTRUMENTS)
        assert view is not None
        programs = {t.program for t, s in zip(view.score.tracks, view.stems, strict=True) if s != "drums"}
        assert programs <= HELD_OUT_PROGRAMS


@pytest.mark.parametrize("style", ["jazz", "blues", "pop", "rock", "folk", "game", "hymn"])
def test_bass_plays_the_root_where_the_chord_changes(style: str) -> None:
    names = ("maj7", "min7", "7", "hdim7")
    bars = [
        StemBar(4.0 * i, (4, 4), ((4.0 * i, (7 * i) % 12, CHORD_QUALITY_NAMES.index(names[i % 4])),))
        for i in range(8)
    ]
    for seed in range(10):
        rows = bass_line(built_in_styles()[style], bars, np.random.default_rng(seed))
        for bar in bars:
            _, root, quality = bar.chords[0]
            first = rows[np.isclose(rows[:, 0], bar.start)]
            assert {int(p) % 12 for p in first[:, 2]} == {root}
            assert all(24 <= p <= 64 for p in rows[:, 2]), CHORD_QUALITIES[CHORD_QUALITY_NAMES[quality]]
        assert rows[:, 0].max() < 32


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (6, 8), (2, 4), (5, 4), (7, 8)], ids=str)
def test_programmed_drums_stay_in_their_bars(meter: tuple[int, int]) -> None:
    size = meter[0] * 4 / meter[1]
    bars = [StemBar(i * size, meter, ()) for i in range(4)]
    for style in ("jazz", "rock", "folk", "hymn"):
        rows = drum_pattern(built_in_styles()[style], bars, np.random.default_rng(1))
        assert len(rows) >= (1 if style == "hymn" else 4)
        assert rows[:, 0].min() >= 0 and rows[:, 0].max() < 4 * size + 0.5


def test_levels_keep_power_within_a_quarter_of_a_decibel() -> None:
    power = 10 ** np.random.default_rng(0).uniform(-6, 5, (80, 50)).astype(np.float32)
    back = power_table()[levels_of(power)]
    assert np.abs(10 * np.log10(back / power)).max() <= 0.26


def fill(folder: Path, styles: tuple[str, ...], rng: np.random.Generator, views: int) -> None:
    """Views told apart by their rhythm alone: pulses every 4, 7 … frames over random bands."""
    writer = StoreWriter(folder)
    frames = frames_in(TRAINING.seconds, CONFIG)
    for number in range(views):
        label = number % len(styles)
        power = np.full((80, frames), 1e-3, dtype=np.float32)
        power[rng.integers(0, 60) :, int(rng.integers(0, 5)) :: 4 + 3 * label] = 100.0
        writer.add(
            {"melody": levels_of(power)},
            Entry(styles[label], f"{styles[label]}/x", "p", "t", "f", 0, ("melody",)),
        )


def test_training_learns_what_tells_styles_apart(tmp_path: Path) -> None:
    styles = ("jazz", "folk", "hymn")
    rng = np.random.default_rng(0)
    fill(tmp_path / "train", styles, rng, 36)
    fill(tmp_path / "test", styles, rng, 18)
    store = open_store(tmp_path / "train", 80, frames_in(TRAINING.seconds, CONFIG))
    test = open_store(tmp_path / "test", 80, frames_in(TRAINING.seconds, CONFIG))
    recipe = ClassifierRecipe(
        steps=45, rows=12, distort=0.3, mixup=0.0, average=0.8, learning_rate=4e-3, bf16=False
    )
    net = train(
        StyleCnn(3, 80, (8, 12, 12, 16), 16, 0.0), Mixer(store, styles, CONFIG, store.entries), recipe
    )
    logits = logits_of(net, np.stack([plain_mix(test, e, CONFIG) for e in test.entries]))
    right = [styles[i] == e.style for i, e in zip(logits.argmax(axis=1), test.entries, strict=True)]
    assert np.mean(right) > 0.8


def test_mixer_is_repeatable_even_over_styles_and_strict(tmp_path: Path) -> None:
    fill(tmp_path, ("jazz", "folk"), np.random.default_rng(0), 8)
    store = open_store(tmp_path, 80, frames_in(TRAINING.seconds, CONFIG))
    mixer = Mixer(store, ("jazz", "folk"), CONFIG, store.entries)
    levels, styles = mixer.draw(np.random.default_rng(4), 6, 1.0)
    again, _ = mixer.draw(np.random.default_rng(4), 6, 1.0)
    assert levels.shape == (6, 80, CONFIG.num_frames) and np.isfinite(levels).all()
    assert np.bincount(styles).tolist() == [3, 3] and levels.tobytes() == again.tobytes()
    with pytest.raises(CorpusError, match="rock"):
        Mixer(store, ("jazz", "rock"), CONFIG, store.entries)
    with pytest.raises(CorpusError, match="no rendered views"):
        open_store(tmp_path / "nowhere", 80, 297)


def test_each_distortion_can_be_had_alone(tmp_path: Path) -> None:
    fill(tmp_path, ("jazz",), np.random.default_rng(0), 4)
    store = open_store(tmp_path, 80, frames_in(TRAINING.seconds, CONFIG))
    none = Augmentation(False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    voices = np.random.default_rng(1).standard_exponential((2, 80, CONFIG.num_frames), dtype=np.float32)

    def drawn(how: Augmentation) -> Features:
        mixer = Mixer(store, ("jazz",), CONFIG, store.entries, how, voices)
        return mixer.draw(np.random.default_rng(4), 8, 1.0)[0]

    plain = drawn(none)
    windows = [usual_mix(store, e, slice(i, i + CONFIG.num_frames)) for e in store.entries for i in range(50)]
    heard = log_levels(np.stack(windows), CONFIG)
    assert all(np.abs(heard - row).max(axis=(1, 2)).min() < 1e-6 for row in plain)
    for name in ("equaliser", "band_limit", "noise", "squeeze", "shift", "mask", "crackle", "voices"):
        changed = np.abs(drawn(replace(none, **{name: 1.0})) - plain).mean(axis=(1, 2)) > 1e-4
        assert changed.any(), name


def fill_versions(folder: Path, styles: tuple[str, ...], rng: np.random.Generator, views: int) -> Store:
    """Pulses that say the style, each in two versions: in learning, the band says it too."""
    writer, frames = StoreWriter(folder), frames_in(TRAINING.seconds, CONFIG)
    for number in range(views):
        label, start = number % len(styles), int(rng.integers(0, 5))
        for plan, low in (("same", 20 * label), ("any", int(rng.integers(0, 60)))):
            power = np.full((80, frames), 1e-3, dtype=np.float32)
            power[low : low + 20, start :: 4 + 3 * label] = 100.0
            entry = Entry(styles[label], "x", "p", "t", "f", 0, ("melody",), number, plan)
            writer.add({"melody": levels_of(power)}, entry)
    return open_store(folder, 80, frames)


def test_pairs_are_the_same_notes_at_the_same_time(tmp_path: Path) -> None:
    store = fill_versions(tmp_path, ("jazz", "folk"), np.random.default_rng(0), 8)
    mixer = Mixer(store, ("jazz", "folk"), CONFIG, store.entries)
    levels, styles = mixer.draw_pairs(np.random.default_rng(4), 16, 0.0)
    again, _ = mixer.draw_pairs(np.random.default_rng(4), 16, 0.0)
    assert levels.tobytes() == again.tobytes() and np.bincount(styles).tolist() == [8, 8]
    assert (styles[0::2] == styles[1::2]).all()
    onsets = levels.max(axis=1) > levels.max(axis=(1, 2))[:, None] - 0.1
    assert (onsets[0::2] == onsets[1::2]).all() and (np.diff(onsets[0::2].astype(int), axis=0) != 0).any()
    differ = [not np.array_equal(a, b) for a, b in zip(levels[0::2], levels[1::2], strict=True)]
    assert sum(differ) >= 5, "two versions, but for the stems that one borrows from the other"

    drawn: list[str] = []
    mixed = mixer.mixed
    mixer.mixed = lambda entry, *rest: drawn.append(entry.plan) or mixed(entry, *rest)  # type: ignore[func-returns-value,assignment,method-assign]
    mixer.draw_pairs(np.random.default_rng(4), 16, 0.0, usual_first=True)
    assert drawn == ["same", "any"] * 8
    drawn.clear()
    mixer.draw_pairs(np.random.default_rng(4), 16, 0.0)
    assert drawn != ["same", "any"] * 8 and set(zip(drawn[0::2], drawn[1::2], strict=True)) == {
        ("same", "any"), ("any", "same"),
    }  # fmt: skip


def test_disagreement_is_nothing_for_equal_pairs_and_grows_with_the_difference() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [2.0, 0.0, -1.0], [0.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    assert float(disagreement(logits[:2])) == 0
    near, far = logits[2:].clone(), logits[2:].clone()
    far[1, 0] += 4
    assert 0 < float(disagreement(near)) < float(disagreement(far))
    assert float(disagreement(far)) == pytest.approx(float(disagreement(far.flip(0))))
    p, q = far[0].softmax(0), far[1].softmax(0)
    both = float((p * (p / q).log()).sum() + (q * (q / p).log()).sum())
    assert float(disagreement(far)) == pytest.approx(both / 2, rel=1e-5)


def test_pairs_teach_a_net_to_call_versions_alike(tmp_path: Path) -> None:
    """The disagreement of unseen pairs falls where it is part of the loss; pairs of the mixup stay pairs."""
    styles = ("jazz", "folk", "hymn")
    store = fill_versions(tmp_path / "train", styles, np.random.default_rng(0), 18)
    test = fill_versions(tmp_path / "test", styles, np.random.default_rng(1), 18)
    pairs = np.stack([plain_mix(test, e, CONFIG) for e in test.entries])
    found = {}
    for weight in (1e-9, 3.0):
        recipe = ClassifierRecipe(
            steps=30, rows=12, distort=0.0, mixup=0.3, average=0.8, learning_rate=4e-3, bf16=False,
            consistency=weight,
        )  # fmt: skip
        torch.manual_seed(0)
        mixer = Mixer(store, styles, CONFIG, store.entries)
        net = train(StyleCnn(3, 80, (8, 12, 12, 16), 16, 0.0), mixer, recipe)
        found[weight] = float(disagreement(torch.from_numpy(logits_of(net, pairs))))
    assert found[3.0] < 0.7 * found[1e-9]


def test_a_store_of_versions_holds_the_same_notes_on_other_instruments(tmp_path: Path) -> None:
    lead_sheet(tmp_path, "jazz")
    file = SourceFile(tmp_path / "jazz.mid", "jazz/openewld/x.mid", "jazz")
    source = ViewSource(
        group_files([file], file.split, ["jazz"]), ("jazz",), ViewMaker(), [AdditiveRenderer()]
    )
    made = render_store(tmp_path / "store", source, 4, seed=3, versions=3)
    store = open_store(tmp_path / "store", 80, frames_in(TRAINING.seconds, CONFIG))
    assert made == len(store.entries) == 12
    assert [e.notes for e in store.entries] == [n for n in range(4) for _ in range(3)]
    assert all(e.plan == "same" for e in store.entries[::3])
    for n in range(4):
        plans = [e.plan for e in store.entries if e.notes == n]
        assert len(set(plans)) == 3
    dry = [e for e in store.entries if e.plan in ("leads", "piano")]
    assert dry and not any("drums" in e.stems for e in dry)


def test_distortion_changes_the_sound_and_can_be_switched_off() -> None:
    power = 10 ** np.random.default_rng(0).uniform(-3, 3, (4, 80, CONFIG.num_frames)).astype(np.float32)
    plain = distorted(power, np.random.default_rng(1), CONFIG, 0.0)
    rough = distorted(power, np.random.default_rng(1), CONFIG, 1.0)
    assert (np.abs(plain - rough).mean(axis=(1, 2)) > 0.01).all()


def test_stems_of_a_view_are_rendered_apart(tmp_path: Path) -> None:
    view = ViewMaker().make(lead_sheet(tmp_path, "jazz"), np.random.default_rng(3))
    assert view is not None
    stems = render_stems(view, AdditiveRenderer(), np.random.default_rng(0), CONFIG, TRAINING.seconds)
    assert set(stems) == set(view.stems)
    assert all(s.shape == (80, frames_in(TRAINING.seconds, CONFIG)) for s in stems.values())
    assert int(np.abs(stems["melody"].astype(int) - stems["harmony"].astype(int)).max()) > 20
