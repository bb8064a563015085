"""``melodygen doctor``: what works on this machine, and how to get what does not."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show what works here: models, renderers, soundfonts, devices, MIDI ports.

    Exit status 1 if something that is needed does not work.
    """
    checks: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "system": _system,
        "models": _models,
        "renderers": _renderers,
        "soundfonts": _soundfonts,
        "devices": _devices,
        "ports": _ports,
    }
    found = {name: _guarded(check) for name, check in checks.items()}
    healthy = all(row["ok"] for row in (*found["models"], *found["system"])) and any(
        row["ok"] for row in found["renderers"]
    )
    if json_:
        print(json.dumps({"ok": healthy, **found}))
    else:
        for name, rows in found.items():
            print(name)
            for row in rows:
                print(f"  {'ok' if row['ok'] else '--'}  {row['name']:<22} {row['detail']}")
        print(
            "everything needed works"
            if healthy
            else "something needed does not work: see the lines marked --"
        )
    if not healthy:
        raise typer.Exit(1)


def _row(name: str, ok: bool, detail: object) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": " ".join(str(detail).split())}


def _guarded(check: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Turn any failure into a line of the report."""
    try:
        return check()
    except Exception as error:
        return [_row(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}")]


def _system() -> list[dict[str, Any]]:
    from melodygen import __version__

    rows = [
        _row("melodygen", True, __version__),
        _row("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    for package in ("torch", "numpy", "mido", "symusic", "librosa", "soundfile", "music21"):
        try:
            rows.append(_row(package, True, version(package)))
        except PackageNotFoundError:
            rows.append(_row(package, False, "missing: reinstall melodygen with pip"))
    return rows


def _models() -> list[dict[str, Any]]:
    """Load each checkpoint; there must be one of each kind."""
    from melodygen.analysis.beats import load_beat_tracker
    from melodygen.classification.cnn import load_classifier
    from melodygen.classification.event_evidence import load_detector
    from melodygen.generation.neural import load_generator
    from melodygen.nets import checkpoint as checkpoints

    loaders: dict[str, Callable[[str], object]] = {
        "generator": load_generator, "classifier": load_classifier, "beats": load_beat_tracker,
        "detector": load_detector,
    }  # fmt: skip
    rows, kinds = [], set()
    for found in checkpoints.list_checkpoints():
        try:
            loaders[found.kind](str(found.path))
            kinds.add(found.kind)
            rows.append(_row(found.name, True, f"{found.kind} {found.sha256[:12]} in {found.path}"))
        except Exception as error:
            rows.append(_row(found.name, False, error))
    rows += [_row(kind, False, "none can be loaded") for kind in loaders if kind not in kinds]
    return rows


def _renderers() -> list[dict[str, Any]]:
    """Let each renderer play a note."""
    from melodygen import registry
    from melodygen.music.score import Score, Track

    note = Score(tracks=(Track([(0, 480, 60, 90)], role="melody"),))  # type: ignore[arg-type]
    rows = []
    for name in registry.names("renderers"):
        try:
            renderer = registry.load("renderers", name)(None)
            peak = float(abs(renderer.render(note, quality="draft").samples).max())
            rows.append(_row(name, peak > 0, renderer.renderer_id if peak > 0 else "renders silence"))
        except Exception as error:
            rows.append(_row(name, False, error))
    return rows


def _soundfonts() -> list[dict[str, Any]]:
    from melodygen.rendering.soundfont_path import soundfonts

    rows = [_row(f.name, True, f"{f.stat().st_size / 2**20:.1f} MiB in {f.parent}") for f in soundfonts()]
    return rows or [_row("soundfont", False, "none found; give one with --soundfont FILE.sf2")]


def _devices() -> list[dict[str, Any]]:
    import torch

    rows = [_row("cpu", True, f"{os.cpu_count()} cores, {torch.get_num_threads()} threads")]
    rows += [_row(f"cuda:{i}", True, torch.cuda.get_device_name(i)) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        rows.append(_row("mps", True, "Apple GPU"))
    return rows


def _ports() -> list[dict[str, Any]]:
    import mido

    try:
        outputs, inputs = mido.get_output_names(), mido.get_input_names()
    except ImportError:
        return [_row("midi", False, "no backend: pip install 'melodygen[live]' brings python-rtmidi")]
    rows = [_row(name, True, "output") for name in outputs] + [_row(name, True, "input") for name in inputs]
    return rows or [_row("midi", True, "backend works, no ports; on Windows a loopback port is needed")]
