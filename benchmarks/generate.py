"""How long the main job takes, and how much memory: one run on one machine, with ratios that travel.

    python benchmarks/generate.py [--style jazz] [--repeats 3]

Prints a table, writes the section ``speed`` of docs/evaluation.md and docs/benchmark.json beside it. Times are medians
over the repeats, wall clock; the CPU seconds beside them say more on a machine that is busy with other work. The loop
is held to one round, so that always as many candidates are written and heard.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from melodygen.evaluation.tables import markdown_table, replace_section, write_json
from melodygen.request import LoopOptions

ROOT = Path(__file__).parent.parent
SEED = 1


def run_command(arguments: list[str], folder: Path) -> tuple[float, float, float]:
    """(wall seconds, peak MiB, CPU seconds) of a Python child and what it waited for."""
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {child.returncode}")
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return seconds, usage.ru_maxrss / unit, usage.ru_utime + usage.ru_stime


def median_costs(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """(wall seconds, CPU seconds)."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.monotonic(), time.process_time()
        work()
        walls.append(time.monotonic() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def measure_commands(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    generate = ["-m", "melodygen", "generate", "--style", options.style, "--bars", str(options.bars)]
    generate += ["--candidates", str(options.candidates), "--max-rounds", "1", "--seed", str(SEED)]
    generate += ["--quiet", "--force"]
    generate += ["--out", str(folder / "piece.wav"), "--formats", "mid,wav"]
    cold = [run_command(generate, folder) for _ in range(options.repeats)]
    helped = [run_command(["-m", "melodygen", "--help"], folder) for _ in range(2 * options.repeats + 1)]
    torch = [run_command(["-c", "import torch"], folder) for _ in range(options.repeats)]
    return {
        "cold_seconds": statistics.median(c[0] for c in cold),
        "cold_cpu_seconds": statistics.median(c[2] for c in cold),
        "peak_mib": max(c[1] for c in cold),
        "help_seconds": statistics.median(h[0] for h in helped),
        "import_torch_seconds": statistics.median(t[0] for t in torch),
    }


def measure_warm(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from melodygen.audio.files import write_audio
    from melodygen.errors import MelodygenError
    from melodygen.generation.loop import candidate_seeds, compose
    from melodygen.io.midi import write_midi
    from melodygen.request import Request
    from melodygen.services import models as services

    usual = services.style_of(options.style)
    request = Request(options.style, options.bars, usual.qpm, usual.meter, tracks=usual.tracks)
    generator, classifier, renderer = (
        services.load_generator(),
        services.load_classifier(),
        services.load_renderer(),
    )

    def whole() -> Any:
        piece = compose(
            request, generator, renderer, classifier, seed=SEED, candidates=options.candidates, max_rounds=1
        )
        write_midi(folder / "warm.mid", piece.score, overwrite=True)
        write_audio(folder / "warm.wav", renderer.render(piece.score), overwrite=True)
        return piece

    score = whole().score  # the first one also warms up
    seeds = candidate_seeds(SEED, 1, options.candidates)
    num_tokens = sum(d.num_tokens for d in generator.generate(request, seeds))
    writing, writing_cpu = median_costs(lambda: generator.generate(request, seeds), options.repeats)
    warm, warm_cpu = median_costs(whole, options.repeats)
    length = renderer.render(score).duration_seconds
    result: dict[str, Any] = {
        "warm_seconds": warm,
        "warm_cpu_seconds": warm_cpu,
        "tokens": num_tokens,
        "tokens_per_second": num_tokens / writing,
        "tokens_per_cpu_second": num_tokens / writing_cpu,
        "music_seconds": length,
        "model": generator.model_id,
        "renderer": renderer.renderer_id,
    }
    for quality in ("full", "draft"):
        mine = median_costs(lambda q=quality: renderer.render(score, 44_100, q), options.repeats)[0]  # type: ignore[misc]
        result[f"render_{quality}_times_real_time"] = length / mine
        try:
            other = services.load_renderer("fluidsynth")
            other.render(score, 44_100, quality)
            theirs = median_costs(lambda q=quality, r=other: r.render(score, 44_100, q), options.repeats)[0]  # type: ignore[misc]
            result[f"render_{quality}_over_fluidsynth"] = theirs / mine
        except MelodygenError as error:
            result[f"render_{quality}_over_fluidsynth"] = None
            result["fluidsynth"] = str(error)
    return result


def table(record: dict[str, Any], options: argparse.Namespace) -> str:
    torch = record["import_torch_seconds"]
    rows: list[list[object]] = [
        [f"whole command, cold ({options.bars} bars, {options.candidates} candidates, MIDI and WAV)",
         f"{record['cold_seconds']:.2f} s ({record['cold_cpu_seconds']:.1f} s of CPU)",
         f"{record['cold_seconds'] / torch:.1f} × `import torch`", "6 s"],
        ["the same, warm", f"{record['warm_seconds']:.2f} s ({record['warm_cpu_seconds']:.1f} s of CPU)",
         f"{record['warm_seconds'] / record['cold_seconds']:.2f} × cold", "3 s"],
        ["writing, all candidates together",
         f"{record['tokens_per_second']:.0f} tokens/s ({record['tokens_per_cpu_second']:.0f} a second of CPU)", "", ""],
        ["render, full", f"{record['render_full_times_real_time']:.0f} × real time",
         _ratio(record["render_full_over_fluidsynth"]), ""],
        ["render, draft", f"{record['render_draft_times_real_time']:.0f} × real time",
         _ratio(record["render_draft_over_fluidsynth"]), ""],
        ["`melodygen --help`", f"{record['help_seconds']:.2f} s",
         f"{record['help_seconds'] / torch:.2f} × `import torch`", "0.3 s"],
        ["peak memory of the command", f"{record['peak_mib']:.0f} MiB", "", "1024 MiB"],
    ]  # fmt: skip
    machine = (
        f"{record['cores']} cores, {record['machine']}; load average before the run {record['load']:.1f}."
    )
    return markdown_table(["what", "measured", "ratio", "aim: under"], rows) + f"\n\n{machine}"


def _ratio(value: float | None) -> str:
    return "FluidSynth is not installed" if value is None else f"{value:.2f} × FluidSynth's speed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--style", default="jazz")
    parser.add_argument("--bars", type=int, default=16)
    parser.add_argument("--candidates", type=int, default=LoopOptions().candidates)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "evaluation.md")
    options = parser.parse_args()
    record: dict[str, Any] = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
    }
    with tempfile.TemporaryDirectory() as folder:
        record |= measure_commands(options, Path(folder))
        record |= measure_warm(options, Path(folder))
    text = table(record, options)
    print(text)
    replace_section(options.out, "speed", text)
    write_json(options.out.with_name("benchmark.json"), record)


if __name__ == "__main__":
    main()
