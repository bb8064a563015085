"""Controllers as they sound: by physics, and held against FluidSynth's own player of MIDI files."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from melodygen.io.midi import read_midi
from melodygen.music.score import (
    EXPRESSION,
    PAN,
    PITCH_BEND,
    SUSTAIN,
    VOLUME,
    Score,
    Tempo,
    Track,
    control_array,
    note_array,
)
from melodygen.rendering.additive import AdditiveRenderer
from melodygen.rendering.controls import Steps
from melodygen.rendering.mixing import played_notes, sounding_seconds
from melodygen.rendering.sampler import SamplerRenderer
from melodygen.rendering.soundfont_path import find_soundfont
from melodygen.services.render import without_roles

CASES = Path(__file__).parents[1] / "cases"
RATE = 22_050
Sound = NDArray[np.float32]


@lru_cache(maxsize=1)
def sampler() -> SamplerRenderer:
    return SamplerRenderer()


def case(name: str) -> Score:
    return without_roles(read_midi(CASES / f"{name}.mid"))


def render(score: Score) -> Sound:
    return sampler().render(score, RATE).samples


def levels(sound: Sound, seconds: float = 0.25) -> NDArray[np.float64]:
    """dB of each stretch, relative to the loudest."""
    num = round(seconds * RATE)
    count = sound.shape[1] // num
    power = (
        np.square(sound[:, : count * num], dtype=np.float64).reshape(len(sound), count, num).mean(axis=(0, 2))
    )
    found: NDArray[np.float64] = 10 * np.log10(power + 1e-12)
    return found - found.max()


def frequency(sound: Sound, first: float, last: float) -> float:
    """The strongest one between 200 and 640 Hz."""
    part = sound.mean(axis=0)[round(first * RATE) : round(last * RATE)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 16))
    step = RATE / (1 << 16)
    low, high = round(200 / step), round(640 / step)
    return float(low + np.argmax(spectrum[low:high])) * step


def held(controls: list[tuple[int, int, float]], program: int = 19) -> Score:
    """An organ note of four seconds."""
    track = Track(note_array([(0, 3840, 69, 100)]), program, False, "other", "", control_array(controls))
    return Score((track,), (Tempo(0, 120.0),))


def test_without_controllers_nothing_changes() -> None:
    plain = held([])
    neutral = held([(0, VOLUME, 100), (0, EXPRESSION, 127), (0, PITCH_BEND, 0.0), (960, SUSTAIN, 0)])
    np.testing.assert_array_equal(render(plain), render(neutral))


def test_sustain_holds_what_was_struck_until_it_comes_up() -> None:
    score = case("pedal")
    onsets = played_notes(score, score.tracks[0], 960)  # a tick is a sample
    assert onsets.held.tolist() == [1900, 60]
    level = levels(render(score))
    assert level[1] > -6 and level[4] > -20, "energy after the note-off"
    last = replace(score, tracks=(replace(score.tracks[0], notes=score.tracks[0].notes[:1]),))
    assert sounding_seconds(last) == pytest.approx(1900 / 960, abs=0.002), (
        "a last note that the pedal holds is heard"
    )


def test_volume_fades_and_expression_swells() -> None:
    level = levels(render(case("cc7_fade")), 1.0)
    assert np.all(np.diff(level[:8]) < 0) and level[7] < -10
    swell = [(480 * i, EXPRESSION, 127.0 * i / 7) for i in range(8)]
    level = levels(render(held(swell)), 0.5)
    assert np.all(np.diff(level[1:8]) > 0.5)


def test_volume_is_the_square_of_its_value() -> None:
    sound = sampler().render(held([(1920, VOLUME, 50.0)]), RATE, "draft").samples
    early, late = (np.square(sound[:, a * RATE // 2 : b * RATE // 2]).mean() for a, b in ((1, 3), (5, 7)))
    assert 10 * np.log10(early / late) == pytest.approx(12.04, abs=1.0), "40 log10(100 / 50) dB"


@pytest.mark.parametrize("renderer", [sampler, AdditiveRenderer])
def test_bends_move_the_pitch_steadily_and_while_it_sounds(renderer: object) -> None:
    made = renderer()  # type: ignore[operator]
    plain = frequency(made.render(held([]), RATE).samples, 1, 2)
    assert plain == pytest.approx(440, rel=0.006)
    sound = made.render(held([(0, PITCH_BEND, 2.0)]), RATE).samples
    assert frequency(sound, 1, 2) == pytest.approx(plain * 2 ** (2 / 12), rel=0.005)
    sound = made.render(held([(1920, PITCH_BEND, -1.0)]), RATE).samples
    assert frequency(sound, 0.5, 1.5) == pytest.approx(plain, rel=0.005)
    assert frequency(sound, 2.5, 3.5) == pytest.approx(plain / 2 ** (1 / 12), rel=0.005)


def test_pan_moves_the_sound() -> None:
    sound = render(held([(0, PAN, 0.0), (1920, PAN, 127.0)]))
    early, late = (
        np.square(sound[:, a * RATE // 2 : b * RATE // 2]).mean(axis=1) for a, b in ((1, 3), (5, 7))
    )
    assert early[0] > 5 * early[1] and late[1] > 5 * late[0]


def test_steps_hold_until_the_next_one() -> None:
    steps = Steps(np.array([0, 10, 20]), np.array([1.0, 0.0, 2.0]))
    assert steps.at_points(np.array([0, 9, 10, 25])).tolist() == [1, 1, 0, 2]
    assert steps.between(0, 10).tolist() == [1] and steps.between(5, 21).tolist() == [1, 0, 2]
    curve = steps.curve(30, 2)
    assert curve[9] == 1 and curve[12:20].max() == 0 and curve[29] == 2


def fluidsynth_plays(path: Path, seconds: float) -> Sound:
    """The file through FluidSynth's player: its own reader of MIDI, its own controllers."""
    name = ctypes.util.find_library("fluidsynth")
    if name is None:
        pytest.skip("FluidSynth's library is not installed (Debian: libfluidsynth3)")
    library = ctypes.CDLL(name)
    pointer = ctypes.c_void_p
    for function in ("new_fluid_settings", "new_fluid_synth", "new_fluid_player"):
        getattr(library, function).restype = pointer
        getattr(library, function).argtypes = [] if function.endswith("settings") else [pointer]
    text, whole, real = ctypes.c_char_p, ctypes.c_int, ctypes.c_double
    library.fluid_settings_setnum.argtypes = [pointer, text, real]
    library.fluid_settings_setint.argtypes = [pointer, text, whole]
    library.fluid_settings_setstr.argtypes = [pointer, text, text]
    library.fluid_synth_sfload.argtypes = [pointer, text, whole]
    library.fluid_player_add.argtypes = [pointer, text]
    library.fluid_player_play.argtypes = [pointer]
    library.fluid_synth_write_float.argtypes = [pointer, whole, *[pointer, whole, whole] * 2]
    for function in ("delete_fluid_player", "delete_fluid_synth", "delete_fluid_settings"):
        getattr(library, function).argtypes = [pointer]
    for level in range(5):
        library.fluid_set_log_function(level, None, None)
    settings = library.new_fluid_settings()
    library.fluid_settings_setnum(settings, b"synth.sample-rate", float(RATE))
    library.fluid_settings_setstr(settings, b"player.timing-source", b"sample")
    for effect in (b"synth.reverb.active", b"synth.chorus.active"):
        library.fluid_settings_setint(settings, effect, 0)
    synth = library.new_fluid_synth(settings)
    library.fluid_synth_sfload(synth, str(find_soundfont()).encode(), 1)
    player = library.new_fluid_player(synth)
    library.fluid_player_add(player, str(path).encode())
    library.fluid_player_play(player)
    out = np.zeros((2, round(seconds * RATE)), dtype=np.float32)
    for at in range(0, out.shape[1], 64):
        left, right = (pointer(out[side, at:].ctypes.data) for side in (0, 1))
        library.fluid_synth_write_float(synth, min(64, out.shape[1] - at), left, 0, 1, right, 0, 1)
    library.delete_fluid_player(player)
    library.delete_fluid_synth(synth)
    library.delete_fluid_settings(settings)
    return out


@pytest.mark.parametrize(("name", "tolerance_db"), [("cc7_fade", 3.5), ("pedal", 4.0), ("bend_up2", 3.5)])
def test_it_sounds_as_fluidsynth_plays_the_file(name: str, tolerance_db: float) -> None:
    """Level from half second to half second (the hall is ours), and pitch."""
    seconds = case(name).duration_seconds
    theirs = fluidsynth_plays(CASES / f"{name}.mid", seconds)
    ours = render(case(name))[:, : theirs.shape[1]]
    a, b = levels(ours, 0.5), levels(theirs, 0.5)
    heard = b > -22
    assert np.abs(a - b)[heard].max() < tolerance_db
    assert frequency(ours, 0.05, 0.22) == pytest.approx(frequency(theirs, 0.05, 0.22), rel=0.01)
