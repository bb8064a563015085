"""How many times faster than real time `melodygen classify` is, end to end, and its start-up.

    python benchmarks/classify.py [--tracks 24] [--seconds 180] [--workers 1 2]

Synthetic stereo tracks at 44.1 kHz (FLAC and MP3) in a temporary folder. Each figure is one run of the command in a
process of its own, start-up included; ``librosa.load`` at its defaults on the same files, in a warm process, is the
floor. Says on how many cores it ran and how much CPU time it took: a figure under load is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

RATE = 44_100


def write_tracks(folder: Path, count: int, seconds: float) -> list[Path]:
    """Chords with a beat, so that the beat tracker has its work."""
    rng = np.random.default_rng(1)
    t = np.arange(round(seconds * RATE)) / RATE
    paths = []
    for number in range(count):
        beat = np.exp(-np.mod(t, 0.5) * 12)
        mono = sum(np.sin(2 * np.pi * hz * t) for hz in rng.uniform(80, 2000, 5)) * 0.05 * beat
        stereo = np.stack((mono, np.roll(mono, 40)), axis=1) + 0.003 * rng.standard_normal((len(t), 2))
        path = folder / f"{number:03}.{'flac' if number % 2 else 'mp3'}"
        with sf.SoundFile(path, "w", RATE, 2) as file:
            for at in range(0, len(stereo), 65_536):
                file.write(stereo[at : at + 65_536])
        paths.append(path)
    return paths


def cpu_seconds() -> float:
    """Of this process and the children that have ended: what a load on the machine cannot falsify."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def run(*arguments: str) -> tuple[float, float, dict[str, object]]:
    """Seconds, seconds of CPU time, report."""
    began, worked = time.monotonic(), cpu_seconds()
    command = [sys.executable, "-m", "melodygen", "classify", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - began, cpu_seconds() - worked, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"cores this may use: {cores}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = write_tracks(folder, arguments.tracks, arguments.seconds)
        total = arguments.tracks * arguments.seconds
        short = folder / "short.wav"
        sf.write(short, np.sin(np.arange(8_000) / 9), 8_000)
        for how in (["--no-rhythm"], []):
            seconds, cpu, _ = run(str(short), *how)
            print(f"start-up, {' '.join(how) or 'with rhythm':<12} {seconds:6.1f} s, CPU {cpu:5.1f} s")
        short.unlink()
        for workers in arguments.workers:
            for how in (["--no-rhythm"], []):
                seconds, cpu, report = run(str(folder), "--workers", str(workers), *how)
                assert report["failed"] == 0, report
                told = f"{total / seconds:6.0f} x real time; CPU {cpu:6.1f} s, {total / cpu:6.0f} x a core"
                print(f"{workers} workers {' '.join(how) or 'with rhythm':<12} {seconds:6.1f} s, {told}")

        import librosa

        librosa.load(paths[0], duration=1.0)
        began, worked = time.monotonic(), cpu_seconds()
        for path in paths:
            librosa.load(path)
        seconds, cpu = time.monotonic() - began, cpu_seconds() - worked
        print(f"librosa.load alone    {seconds:6.1f} s, {total / seconds:6.0f} x real time; "
              f"CPU {cpu:6.1f} s, {total / cpu:6.0f} x a core")  # fmt: skip


if __name__ == "__main__":
    main()
