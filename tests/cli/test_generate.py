"""The command as a user meets it: a subprocess, with a quick plug-in band in place of the trained models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mido
import pytest
import soundfile
from conftest import BAND, Run

JAZZ = ("generate", "--style", "jazz", *BAND, "--seed", "7", "--bars", "4")


def files(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.iterdir())


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_writes_what_it_says(melodygen: Run, tmp_path: Path) -> None:
    done = melodygen(*JAZZ)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == ["jazz-7.mid", "jazz-7.wav"]
    assert "seed 7" in done.stdout and "jazz-7.wav" in done.stdout and "below 0" in done.stdout
    assert done.stderr == ""


def test_json_is_one_object_and_nothing_else(melodygen: Run, tmp_path: Path) -> None:
    done = melodygen(
        *JAZZ, "--json", "--min-style", "0.99", "--max-rounds", "2", "--tempo", "90", "--meter", "3/4"
    )
    report = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert {k: report[k] for k in ("style", "seed", "bars", "qpm", "meter", "accepted", "midi", "audio")} == {
        "style": "jazz", "seed": 7, "bars": 4, "qpm": 90.0, "meter": "3/4", "accepted": False,
        "midi": "jazz-7.mid", "audio": "jazz-7.wav",
    }  # fmt: skip
    assert len(report["candidates"]) == 12 and report["turned_down"] == 12
    probabilities = [c["style_probability"] for c in report["candidates"]]
    assert report["style_probability"] == max(probabilities)
    assert report["unselected_mean_probability"] == pytest.approx(sum(probabilities) / 12)
    assert all(c["log_prob_per_token"] < 0 and c["seed"] >= 0 for c in report["candidates"])
    assert report["model"] == "fakeband-writer@0000" and report["classifier"] == "fakeband-judge@0000"
    assert report["seconds"] > 0


def test_same_seed_same_bytes_from_the_command_in_the_file(
    melodygen: Run, tmp_path: Path, env: dict[str, str]
) -> None:
    report = json.loads(melodygen(*JAZZ, "--json", "--tempo", "133", "--formats", "mid,wav,flac").stdout)
    with_texts = mido.MidiFile(tmp_path / "jazz-7.mid")
    texts = [m.text for track in with_texts.tracks for m in track if m.type == "text"]
    command = next(t for t in texts if t.startswith("command: ")).removeprefix("command: ")
    assert command == report["command"]
    assert any(t.startswith("model: fakeband-writer@0000") for t in texts)
    assert not any(str(tmp_path) in t for t in texts)
    again = tmp_path / "again"
    words = [sys.executable, "-m", *command.split(), "--out", str(again), "--formats", "mid,wav,flac"]
    subprocess.run(words, cwd=tmp_path, env=env, check=True, timeout=60, capture_output=True)
    for name in ("jazz-7.mid", "jazz-7.wav", "jazz-7.flac"):
        assert (again / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_audio_carries_its_provenance(melodygen: Run, tmp_path: Path) -> None:
    melodygen(*JAZZ, "--formats", "wav,flac")
    for name in ("jazz-7.wav", "jazz-7.flac"):
        tags = soundfile.SoundFile(tmp_path / name).copy_metadata()
        assert "seed: 7" in tags["comment"] and "fakeband-judge@0000" in tags["comment"], name


def test_random_seed_is_said_and_makes_the_name(melodygen: Run, tmp_path: Path) -> None:
    arguments = [a for a in JAZZ if a not in ("--seed", "7")]
    one, two = (json.loads(melodygen(*arguments, "--json", "--formats", "mid").stdout) for _ in range(2))
    assert one["seed"] != two["seed"]
    assert files(tmp_path) == sorted(f"jazz-{r['seed']}.mid" for r in (one, two))


def test_existing_file_is_kept_without_force(melodygen: Run, tmp_path: Path) -> None:
    (tmp_path / "jazz-7.wav").write_text("dear")
    done = melodygen(*JAZZ)
    assert done.returncode == 1 and "jazz-7.wav is already there" in one_line(done)
    assert files(tmp_path) == ["jazz-7.wav"] and (tmp_path / "jazz-7.wav").read_text() == "dear"
    assert melodygen(*JAZZ, "--force").returncode == 0
    assert (tmp_path / "jazz-7.wav").stat().st_size > 1000


def test_out_names_the_file_or_the_folder(melodygen: Run, tmp_path: Path) -> None:
    assert melodygen(*JAZZ, "--out", "new/folder", "--formats", "mid").returncode == 0
    assert files(tmp_path / "new" / "folder") == ["jazz-7.mid"]
    assert melodygen(*JAZZ, "--out", "song.flac").returncode == 0
    assert {"song.flac", "song.mid"} <= set(files(tmp_path))


def test_names_in_any_script_under_any_locale(melodygen: Run, tmp_path: Path, env: dict[str, str]) -> None:
    done = melodygen(
        *JAZZ, "--out", "песня 🎷.mid", "--formats", "mid", env={**env, "LC_ALL": "C", "PYTHONUTF8": "0"}
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "песня 🎷.mid").is_file()


def test_style_that_only_the_model_knows(melodygen: Run) -> None:
    arguments = ["generate", "--style", "mazurka", *BAND, "--json", "--formats", "mid", "--max-rounds", "1"]
    report = json.loads(melodygen(*arguments).stdout)
    assert (report["qpm"], report["meter"], report["tracks"]) == (160.0, "3/4", ["melody"])
    wrong = melodygen("generate", "--style", "mazurkas", *BAND)
    assert wrong.returncode == 2 and "did you mean 'mazurka'" in one_line(wrong)


def test_batch_of_different_pieces(melodygen: Run, tmp_path: Path) -> None:
    done = melodygen(*JAZZ, "--count", "3", "--json", "--formats", "mid")
    pieces = json.loads(done.stdout)["pieces"]
    assert len({p["seed"] for p in pieces}) == 3 and pieces[0]["seed"] == 7
    assert files(tmp_path) == sorted(p["midi"] for p in pieces)
    assert len({(tmp_path / p["midi"]).read_bytes() for p in pieces}) == 3


def test_plot_is_a_picture(melodygen: Run, tmp_path: Path) -> None:
    assert melodygen(*JAZZ, "--plot", "--formats", "mid").returncode == 0
    assert (tmp_path / "jazz-7.png").read_bytes().startswith(b"\x89PNG")


def test_strict_writes_nothing_below_the_threshold(melodygen: Run, tmp_path: Path) -> None:
    harsh = [*JAZZ, "--classifier", "fakeband:harsh"]
    done = melodygen(*harsh, "--strict")
    assert done.returncode == 1 and "none of 18 candidates reached 0.7" in one_line(done)
    assert files(tmp_path) == []
    relaxed = melodygen(*harsh)
    assert relaxed.returncode == 0 and "No candidate reached 0.7" in relaxed.stdout


def test_chords_set_the_length_and_repeat(melodygen: Run) -> None:
    arguments = [a for a in JAZZ if a not in ("--bars", "4")]
    short = json.loads(
        melodygen(*arguments, "--json", "--chords", "Dm7 G7 | Cmaj7 | %", "--formats", "mid").stdout
    )
    assert short["bars"] == 3
    long = melodygen(
        *arguments, "--bars", "8", "--json", "--chords", "Dm7 | G7", "--formats", "mid", "--force"
    )
    assert json.loads(long.stdout)["bars"] == 8


def test_around_a_given_melody(melodygen: Run, tmp_path: Path) -> None:
    assert (
        melodygen(
            *JAZZ, "--out", "tune.mid", "--formats", "mid", "--tracks", "melody", "--tempo", "77"
        ).returncode
        == 0
    )
    arguments = ["generate", "--style", "jazz", *BAND, "--json", "--formats", "mid", "--under", "tune.mid"]
    report = json.loads(melodygen(*arguments, "--given", "melody").stdout)
    assert (
        report["tracks"][0] == "melody"
        and report["qpm"] == pytest.approx(77, abs=0.01)
        and report["bars"] == 4
    )
    done = melodygen(*arguments, "--given", "bass")
    assert done.returncode == 2 and "no bass track; it has melody" in one_line(done)
    done = melodygen(*arguments, "--given", "melody", "--bars", "8")
    assert done.returncode == 2 and "which has 4 bars" in one_line(done)
    done = melodygen(*arguments, "--fill", "4:2")
    assert done.returncode == 2 and "has 4 bars" in one_line(done)


WRONG = [
    (("--style", "jaz"), "did you mean 'jazz'"),
    (("--bars", "0"), "bars 0 is not possible; give 1 to 256"),
    (("--bars", "10000"), "bars 10000 is not possible"),
    (("--tempo", "0"), "tempo 0 is not possible; give 20 to 300"),
    (("--tempo", "nan"), "tempo nan"),
    (("--meter", "7/3"), "denominator must be one of 1, 2, 4, 8, 16"),
    (("--meter", "x"), "write it like 4/4"),
    (("--key", "H"), "key 'H'"),
    (("--tracks", "tuba"), "track 'tuba' is an instrument"),
    (("--temperature", "0"), "temperature 0"),
    (("--top-p", "2"), "top-p 2"),
    (("--candidates", "0"), "candidates 0 is not possible; give 1 to 64"),
    (("--min-style", "7"), "min-style 7"),
    (("--count", "0"), "count 0"),
    (("--seed", "-1"), "seed -1"),
    (("--formats", "mid,exe"), "format 'exe' is not known"),
    (("--out", "song.exe"), "'.exe' is not a format"),
    (("--chords", "Dm7 | Qx"), "bar 2 of the chords"),
    (("--fill", "1:2"), "--under FILE.mid"),
    (("--under", "x.mid"), "--given ROLES"),
]


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, tuple) else ""
)
def test_wrong_requests(melodygen: Run, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = melodygen("generate", "--style", "jazz", *arguments)
    assert done.returncode == 2 and words in one_line(done)
    assert files(tmp_path) == []


def test_unknown_option_and_missing_style(melodygen: Run) -> None:
    assert melodygen("generate", "--style", "jazz", "--bras", "4").returncode == 2
    assert melodygen("generate").returncode == 2
    assert melodygen("compose").returncode == 2


def test_broken_plug_in_is_one_line(melodygen: Run) -> None:
    done = melodygen(*JAZZ, "--model", "broken")
    assert done.returncode == 1 and "cannot be loaded" in one_line(done)


def test_folder_that_cannot_be_written(melodygen: Run, tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / "file").write_text("")
    mark = tmp_path / "mark"
    done = melodygen(*JAZZ, "--out", "file/sub", env={**env, "FAKEBAND_MARK": str(mark)})
    assert done.returncode == 1 and "file" in one_line(done)
    assert not mark.exists(), "nothing must be written before the folder is known to work"
    if os.geteuid() == 0:
        return  # root writes everywhere
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert "cannot write in this folder" in one_line(melodygen(*JAZZ, "--out", "closed"))


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a file size limit of the system")
def test_disk_that_fills_up_leaves_nothing_half_written(melodygen: Run, tmp_path: Path) -> None:
    """The limit on file size stands in for the full disk: writing fails in the middle of the WAV."""
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = melodygen(*JAZZ, "--formats", "wav", preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    one_line(done)
    assert files(tmp_path) == []


def test_too_little_space_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from melodygen.errors import DiskSpaceError
    from melodygen.services import output

    monkeypatch.setattr(output.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2**20})())
    with pytest.raises(DiskSpaceError, match=r"1\.0 MiB free, about 5\.0 MiB needed") as said:
        output.prepare_folder(tmp_path, 5 * 2**20)
    assert said.value.exit_code == 1, "what was asked is right: it failed"
    output.prepare_folder(tmp_path, 2**19)
    missing = tmp_path / "models" / "mine"
    output.check_free_space(missing, 2**20)
    with pytest.raises(DiskSpaceError, match="mine: 1"):
        output.check_free_space(missing, 2**20 + 1)
    assert not missing.parent.exists(), "a folder is made with the first file"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_mid_generation(
    tmp_path: Path, env: dict[str, str], number: signal.Signals, code: int
) -> None:
    mark, work = tmp_path / "mark", tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-m", "melodygen", *JAZZ, "--model", "fakeband:slow"]
    process = subprocess.Popen(
        command,
        cwd=work,
        env={**env, "FAKEBAND_MARK": str(mark)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a test run that a shell has put in the background inherits an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert mark.exists()
    process.send_signal(number)
    _, complaint = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in complaint and len(complaint.splitlines()) <= 1
    assert files(work) == []


def test_styles_lists_all(melodygen: Run) -> None:
    listed = {s["name"]: s for s in json.loads(melodygen("styles", "--json").stdout)}
    assert {
        "jazz",
        "blues",
        "classical",
        "baroque",
        "folk",
        "pop",
        "rock",
        "ragtime",
        "hymn",
        "game",
        "polka",
    } <= set(listed)
    assert listed["jazz"]["instruments"]["chords"] == "Acoustic Grand Piano"
    text = melodygen("styles").stdout
    assert "polka" in text and "2/4" in text


def test_render_a_file(melodygen: Run, tmp_path: Path) -> None:
    assert melodygen(*JAZZ, "--out", "tune.mid", "--formats", "mid").returncode == 0
    done = melodygen("render", "tune.mid", "--renderer", "fakeband", "--out", "loud.flac")
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "loud.flac").channels == 2
    again = melodygen("render", "tune.mid", "--renderer", "fakeband", "--out", "loud.flac")
    assert again.returncode == 1 and "already there" in one_line(again)
    (tmp_path / "junk.mid").write_bytes(b"MThdnonsense")
    broken = melodygen("render", "junk.mid", "--renderer", "fakeband")
    assert broken.returncode == 1 and "junk.mid" in one_line(broken)
    missing = melodygen("render", "nowhere.mid")
    assert missing.returncode == 1 and "nowhere.mid" in one_line(missing)


def test_version_and_bare_call(melodygen: Run) -> None:
    from melodygen import __version__

    assert melodygen("--version").stdout == f"melodygen {__version__}\n"
    assert "generate" in melodygen().stdout
