"""Renderers: lengths, levels, pitch against physics, every program and drum, notes that collide, broken fonts."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from melodygen.audio.loudness import integrated_loudness
from melodygen.contracts import Renderer
from melodygen.errors import RenderError
from melodygen.music.score import Score, Tempo, Track, note_array
from melodygen.music.units import midi_to_hz
from melodygen.rendering import fluidsynth, mastering, mixing
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.fluidsynth import FluidSynthRenderer
from melodygen.rendering.programs import nearest_kit, nearest_program
from melodygen.rendering.sampler import SamplerRenderer, SoundFontBank
from melodygen.rendering.soundfont import SoundFont
from melodygen.rendering.soundfont_path import find_soundfont, soundfonts
from melodygen.resources import models_dir

RATE = 44_100
SHIPPED = models_dir() / "soundfont" / "melodygen.sf3"


@pytest.fixture(scope="module")
def sampler() -> SamplerRenderer:
    return SamplerRenderer(SHIPPED)


@pytest.fixture(scope="module")
def bank() -> SoundFontBank:
    return SoundFontBank(SoundFont(SHIPPED), RATE, stereo=False, smooth=True)


def one_track(rows: list[tuple[int, int, int, int]], program: int = 0, is_drum: bool = False) -> Score:
    return Score(tracks=(Track(note_array(rows), program, is_drum),))


def band() -> Score:
    rng = np.random.default_rng(5)
    melody = [(i * 240, 220, int(rng.choice([60, 62, 64, 67, 69, 72])), 90) for i in range(64)]
    chords = [(i * 960, 900, p, 75) for i in range(16) for p in (52, 55, 59)]
    bass = [(i * 480, 450, int(rng.choice([36, 40, 43])), 90) for i in range(32)]
    drums = [(i * 240, 60, 51 if i % 2 else 42, 70) for i in range(64)] + [
        (i * 480, 60, 36, 95) for i in range(32)
    ]
    return Score(
        tracks=(
            Track(note_array(melody), 66, role="melody"),
            Track(note_array(chords), 26, role="chords"),
            Track(note_array(bass), 32, role="bass"),
            Track(note_array(drums), 32, True, role="drums"),
        )
    )


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def decibels(value: float) -> float:
    return float(20 * np.log10(value))


def voice_of(bank: SoundFontBank, track: Track, pitch: int, velocity: int, seconds: float) -> np.ndarray:
    return bank.voice(bank.layer(track, pitch, velocity), round(seconds * RATE)).samples[0]


@pytest.mark.parametrize("quality", ["full", "draft"])
@pytest.mark.parametrize("make", [lambda: SamplerRenderer(SHIPPED), AdditiveRenderer])
def test_length_is_the_score_and_its_tail(make: object, quality: str) -> None:
    score = replace(band(), tempos=(Tempo(0, 120.0), Tempo(3840, 90.0), Tempo(7680, 173.0)))
    audio = make().render(score, 22_050, quality)  # type: ignore[operator]
    assert audio.num_samples == round((score.duration_seconds + mastering.tail_seconds(quality)) * 22_050)
    assert audio.num_channels == (2 if quality == "full" else 1)
    assert abs(audio.samples[:, -1]).max() < 1e-4


@pytest.mark.parametrize("make", [lambda: SamplerRenderer(SHIPPED), AdditiveRenderer])
def test_full_is_as_loud_as_promised_and_not_louder(make: object) -> None:
    renderer = make()  # type: ignore[operator]
    assert isinstance(renderer, Renderer)
    audio = renderer.render(band())
    assert decibels(float(np.abs(audio.samples).max())) <= -1.0
    assert pyloudnorm.Meter(RATE).integrated_loudness(audio.samples.T.astype(float)) == pytest.approx(
        -16, abs=1
    )


def test_same_score_same_bytes_whatever_was_rendered_before(sampler: SamplerRenderer) -> None:
    score = band()
    fresh = SamplerRenderer(SHIPPED).render(score).samples.tobytes()
    sampler.render(replace(score, tempos=(Tempo(0, 37.0),)))  # longer voices are now in the cache
    assert sampler.render(score).samples.tobytes() == fresh


def test_every_program_sounds(bank: SoundFontBank) -> None:
    silent = [
        (program, pitch)
        for program in range(128)
        for pitch in (36, 60, 84)
        if rms(voice_of(bank, Track(program=program), pitch, 90, 0.3)) < 1e-4
    ]
    assert silent == []


@pytest.mark.parametrize("kit", [0, 16, 25, 32, 40, 48, 8, 127])
def test_every_drum_sounds(bank: SoundFontBank, kit: int) -> None:
    drums = Track(program=kit, is_drum=True)
    assert [k for k in range(128) if np.abs(voice_of(bank, drums, k, 90, 0.3)).max() < 1e-3] == []


PITCHED = (
    0,
    4,
    6,
    16,
    19,
    21,
    22,
    24,
    25,
    26,
    27,
    32,
    33,
    34,
    40,
    41,
    42,
    43,
    48,
    56,
    57,
    60,
    61,
    64,
    65,
    66,
    68,
)
PITCHED += (70, 71, 72, 73, 74, 75, 79, 80, 81, 104, 105, 109, 110)


def strongest_harmonics_cents(samples: np.ndarray, pitch: int) -> float:
    """How far the partials lie from whole multiples of the pitch, as a weighted median in cents."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), n=1 << 19))
    hertz = RATE / (1 << 19)
    found = []
    for number in range(1, 9):
        centre = number * midi_to_hz(pitch)
        low, high = (int(centre * 2 ** (c / 1200) / hertz) for c in (-45, 45))
        if high + 1 >= len(spectrum):
            break
        peak = low + int(np.argmax(spectrum[low:high]))
        found.append((1200 * np.log2(peak * hertz / centre), float(spectrum[peak])))
    found.sort()
    weights = np.cumsum([w for _, w in found])
    return float(found[int(np.searchsorted(weights, weights[-1] / 2))][0])


@pytest.mark.parametrize("program", PITCHED)
def test_programs_are_in_tune(bank: SoundFontBank, program: int) -> None:
    off = []
    for pitch in (43, 48, 55, 60, 67, 72):
        sound = voice_of(bank, Track(program=program), pitch, 90, 1.5)[RATE // 10 : round(1.4 * RATE)]
        off.append(strongest_harmonics_cents(sound, pitch))
    assert abs(float(np.median(off))) < 10 and max(map(abs, off)) < 30, off


@pytest.mark.parametrize("program", [16, 19, 40, 48, 52, 56, 65, 71, 73])
def test_held_notes_hold_without_clicks(bank: SoundFontBank, program: int) -> None:
    sound = voice_of(bank, Track(program=program), 64, 90, 8.0)[: 8 * RATE]
    early, late = rms(sound[RATE : 2 * RATE]), rms(sound[7 * RATE : 8 * RATE])
    assert abs(decibels(late / early)) < 6
    bend = np.abs(np.diff(sound[RATE:], n=2))  # a click is a jump far above the sound's own curvature
    assert bend.max() < 12 * np.sqrt(np.mean(bend**2))


def test_velocity_and_octave(sampler: SamplerRenderer, bank: SoundFontBank) -> None:
    score = one_track([(0, 960, 60, 40), (1920, 960, 60, 120)])
    mixed = mixing.mix(score, bank, RATE, 1.0, stereo=False).dry[0]
    assert decibels(rms(mixed[2 * RATE : 3 * RATE]) / rms(mixed[:RATE])) > 12
    with pytest.raises(RenderError, match="full or draft"):
        sampler.render(score, quality="best")


def test_tempo_changes_place_notes() -> None:
    score = replace(one_track([(0, 10, 60, 90), (960, 10, 60, 90), (1920, 10, 60, 90)]))
    score = replace(score, tempos=(Tempo(0, 60.0), Tempo(960, 240.0), Tempo(1920, 30.0)))
    played = mixing.played_notes(score, score.tracks[0], RATE)
    assert played.onset.tolist() == [round(score.tick_to_seconds(t) * RATE) for t in (0, 960, 1920)]


def test_notes_that_collide_end_each_other() -> None:
    score = one_track([(0, 5000, 60, 90), (0, 10, 60, 100), (480, 480, 60, 80), (480, 480, 61, 80)])
    played = mixing.played_notes(score, score.tracks[0], RATE)
    rows = list(
        zip(played.onset.tolist(), played.held.tolist(), played.pitch.tolist(), played.velocity, strict=True)
    )
    half = RATE // 2
    assert rows == [(0, half, 60, 100), (half, half, 60, 80), (half, half, 61, 80)]


def test_a_drone_is_struck_again_and_never_falls_silent() -> None:
    score = one_track([(0, 480 * 2 * 130, 48, 90)], program=109)
    played = mixing.played_notes(score, score.tracks[0], 8000)
    assert played.held.sum() == 130 * 8000 and played.held.max() == 60 * 8000
    audio = SamplerRenderer(SHIPPED).render(score, 8000, "draft")
    assert all(rms(audio.samples[:, s * 8000 : (s + 1) * 8000]) > 0.01 for s in range(130))


def test_hostile_scores_end_quickly(sampler: SamplerRenderer) -> None:
    """What made a native synthesizer spin: one-tick notes, extreme pitches, heaps of equal notes, many tracks."""
    rng = np.random.default_rng(0)
    tracks = [
        Track(
            note_array(
                [
                    (int(t), int(d), int(p), int(v))
                    for t, d, p, v in zip(
                        rng.integers(0, 9600, 150),
                        rng.choice([1, 2, 3839], 150),
                        rng.choice([0, 1, 35, 57, 126, 127], 150),
                        rng.choice([1, 127], 150),
                        strict=True,
                    )
                ]
            ),
            int(program),
            is_drum=i % 5 == 0,
        )
        for i, program in enumerate(rng.integers(0, 128, 24))
    ]
    audio = sampler.render(Score(tracks=tuple(tracks)), 22_050)
    assert np.isfinite(audio.samples).all() and rms(audio.samples) > 0.01


def test_silence_and_emptiness(sampler: SamplerRenderer) -> None:
    for score in (Score(), Score(tracks=(Track(),))):
        for quality in ("full", "draft"):
            audio = sampler.render(score, quality=quality)
            assert audio.num_samples == round(mastering.tail_seconds(quality) * RATE)
            assert not audio.samples.any()
    with pytest.raises(RenderError, match="in parts"):
        sampler.render(one_track([(10**9, 10, 60, 90)]))


def test_hi_hat_closes(bank: SoundFontBank) -> None:
    def after_closing(rows: list[tuple[int, int, int, int]]) -> float:
        mixed = mixing.mix(one_track(rows, is_drum=True), bank, RATE, 1.0, stereo=False).dry[0]
        return rms(mixed[round(0.42 * RATE) : round(0.6 * RATE)])

    ringing = after_closing([(0, 480, 46, 110)])
    assert after_closing([(0, 480, 46, 110), (240, 20, 44, 1)]) < 0.25 * ringing


def test_roles_are_balanced_and_placed(bank: SoundFontBank) -> None:
    score = band()
    gains = []
    for index in range(3):
        quiet = [
            replace(t, notes=note_array([(n.onset_tick, n.duration_ticks, n.pitch, 30) for n in t]))
            if i == index
            else t
            for i, t in enumerate(score.tracks)
        ]
        alone = mixing.mix(replace(score, tracks=tuple(quiet)), bank, RATE, 1.0, stereo=False).dry
        gains.append(decibels(rms(alone) / rms(mixing.mix(score, bank, RATE, 1.0, stereo=False).dry)))
    assert min(gains) > -14  # a track played 20 dB softer is mostly brought back
    pans = mixing.track_pans(score)
    assert pans[0] == pans[2] == pans[3] == 0 and pans[1] != 0
    piano = replace(score, tracks=tuple(replace(t, program=score.tracks[0].program) for t in score.tracks))
    assert mixing.track_pans(piano)[:2] == [0, 0]  # both hands at one piano


def test_loudness_agrees_with_pyloudnorm() -> None:
    rng = np.random.default_rng(1)
    noise = (
        rng.standard_normal((2, 47 * RATE)) * np.repeat([0.02, 0.2, 0.0005], 47 * RATE // 3 + 1)[: 47 * RATE]
    )
    oracle = pyloudnorm.Meter(RATE).integrated_loudness(noise.T)
    assert integrated_loudness(noise.astype(np.float32), RATE) == pytest.approx(oracle, abs=0.1)


def test_limiter_holds_the_ceiling_and_leaves_the_rest() -> None:
    t = np.arange(2 * RATE) / RATE
    wave = (0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)[None].repeat(2, axis=0)
    wave[:, RATE] = 1.7
    limited = mastering.limit(wave, 0.8, RATE)
    assert np.abs(limited).max() <= 0.8 + 1e-6
    assert np.allclose(limited[:, : RATE // 2], wave[:, : RATE // 2], atol=1e-6)
    assert np.allclose(limited[:, -RATE // 2 :], wave[:, -RATE // 2 :], atol=1e-6)
    steady = np.full((1, RATE), 0.3, dtype=np.float32)
    steady[0, RATE // 2] = 1.2
    curve = mastering.limit(steady, 0.8, RATE)[0] / steady[0]
    assert (np.diff(curve[: RATE // 2]) <= 1e-6).all() and (np.diff(curve[RATE // 2 + 300 :]) >= -1e-6).all()


def test_reverb_outlasts_the_note(sampler: SamplerRenderer) -> None:
    audio = sampler.render(one_track([(0, 240, 60, 100)], program=6))
    body, tail = rms(audio.samples[:, : RATE // 4]), rms(audio.samples[:, RATE : round(1.5 * RATE)])
    assert -60 < decibels(tail / body) < -15


def test_stand_ins() -> None:
    programs = {p for b, p in SoundFont(SHIPPED).presets if b == 0}
    assert all(nearest_program(p, programs) in programs for p in range(128))
    assert nearest_program(53, programs) == 52 and nearest_program(5, programs) == 4
    assert nearest_program(40, {0, 73}) is not None and nearest_program(3, set()) is None
    assert (nearest_kit(41, {0, 32}), nearest_kit(40, {0, 16}), nearest_kit(9, {48})) == (32, 0, 48)


def test_a_font_without_drums_still_drums(tmp_path: Path) -> None:
    data = SHIPPED.read_bytes()
    font = SoundFont(SHIPPED)
    start, _ = font._chunks["phdr"]
    patched = bytearray(data)
    for i, header in enumerate(font.tables["phdr"][:-1]):
        if header["bank"] == 128:
            struct.pack_into("<H", patched, start + 38 * i + 22, 7)
    (tmp_path / "nodrums.sf3").write_bytes(bytes(patched))
    audio = SamplerRenderer(tmp_path / "nodrums.sf3").render(one_track([(0, 60, 38, 100)], is_drum=True))
    assert rms(audio.samples) > 0.01


@pytest.mark.parametrize("padding", [b"", b"\0"], ids=["as sf3convert writes it", "as the format asks"])
def test_a_chunk_of_odd_size(tmp_path: Path, padding: bytes) -> None:
    data = SHIPPED.read_bytes()
    start, size = SoundFont(SHIPPED)._chunks["smpl"]
    end = start + size - 1 + size % 2  # an odd number of bytes; what is taken away is no sample's
    odd = bytearray(data[:end] + padding + data[start + size + size % 2 :])
    struct.pack_into("<I", odd, start - 4, end - start)
    (tmp_path / "odd.sf3").write_bytes(bytes(odd))
    known, read = SoundFont(SHIPPED), SoundFont(tmp_path / "odd.sf3")
    assert read.presets == known.presets
    np.testing.assert_array_equal(read.read_sample(3), known.read_sample(3))


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "scrambled samples", "no samples table"])
def test_broken_soundfonts(tmp_path: Path, damage: str) -> None:
    whole = SHIPPED.read_bytes()
    start, size = SoundFont(SHIPPED)._chunks["smpl"]
    broken = {
        "empty": b"",
        "text": b"this is no soundfont" * 100,
        "cut": whole[: len(whole) // 2],
        "scrambled samples": whole[:start] + bytes(size) + whole[start + size :],
        "no samples table": whole.replace(b"shdr", b"xxxx"),
    }[damage]
    path = tmp_path / "broken.sf3"
    path.write_bytes(broken)
    with pytest.raises(RenderError, match=r"broken\.sf3"):
        SamplerRenderer(path).render(one_track([(0, 480, 60, 90)]), quality="draft")


def test_finding_soundfonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(soundfonts()) == SHIPPED
    with pytest.raises(RenderError, match=r"nowhere\.sf2"):
        SamplerRenderer(tmp_path / "nowhere.sf2")
    monkeypatch.setenv("MELODYGEN_SOUNDFONT", str(tmp_path / "named.sf2"))
    with pytest.raises(RenderError, match=r"MELODYGEN_SOUNDFONT.*named.sf2"):
        find_soundfont()
    (tmp_path / "named.sf2").write_bytes(b"x")
    assert find_soundfont() == tmp_path / "named.sf2"
    assert find_soundfont(SHIPPED) == SHIPPED
    monkeypatch.delenv("MELODYGEN_SOUNDFONT")
    monkeypatch.setenv("MELODYGEN_MODELS", str(tmp_path / "no models"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "melodygen").mkdir()
    (tmp_path / "melodygen" / "own.SF2").write_bytes(b"x")
    assert find_soundfont() == tmp_path / "melodygen" / "own.SF2"


def test_the_wheel_of_pretty_midi_brings_a_font_that_plays() -> None:
    bundled = [p for p in soundfonts() if p.name == "TimGM6mb.sf2"]
    assert bundled, "pretty_midi no longer carries TimGM6mb.sf2"
    assert rms(SamplerRenderer(bundled[-1]).render(band(), quality="draft").samples) > 0.05


def test_fluidsynth_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluidsynth.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RenderError, match="sampler"):
        FluidSynthRenderer()


def test_sampler_agrees_with_fluidsynth(sampler: SamplerRenderer) -> None:
    """An independent player of the same file: the same spectrum, band by band, over time."""
    try:
        other = FluidSynthRenderer(SHIPPED)
    except RenderError as error:
        pytest.skip(str(error))
    tracks = [
        Track(
            note_array([((5 * t + i) * 960, 900, p, 90) for i, p in enumerate((48, 55, 60, 67, 72))]), program
        )
        for t, program in enumerate((0, 24, 48, 66, 73))
    ]
    pictures = []
    for renderer in (sampler, other):
        sound = renderer.render(Score(tracks=tuple(tracks)), quality="draft").samples[0]
        frames = np.abs(np.fft.rfft(sound[: len(sound) // 4096 * 4096].reshape(-1, 4096) * np.hanning(4096)))
        pictures.append(np.log10(frames[:, 4:400] + 1e-2).ravel())
    assert np.corrcoef(*pictures)[0, 1] > 0.95
