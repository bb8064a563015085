"""The studio page in a real browser, the network cut: from a request to a file, classify, the library, live."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile as sf

pytest.importorskip("fastapi", reason="the server extra is not installed")
from small_library import tune

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
)  # fmt: skip


@pytest.fixture(scope="module")
def hum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the browser's microphone hears: the beginning of the library's fourth tune."""
    pitches = tune(3).tracks[0].notes["pitch"].tolist()[:7]
    time_ = np.arange(24_000) / 48_000
    shape = np.minimum(1, np.minimum(time_, time_[::-1]) * 40)
    voice = [0.4 * shape * np.sin(2 * np.pi * 440 * 2 ** ((p - 12 - 69) / 12) * time_) for p in pitches]
    path = tmp_path_factory.mktemp("hum") / "hum.wav"
    sf.write(path, np.concatenate([*(np.pad(v, (0, 2400)) for v in voice), np.zeros(96_000)]), 48_000)
    return path


@pytest.fixture(scope="module")
def url(env: dict[str, str], library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    band = (
        "--model",
        "fakeband",
        "--renderer",
        "fakeband",
        "--classifier",
        "fakeband",
        "--library",
        str(library),
    )
    data = str(tmp_path_factory.mktemp("data"))
    command = [sys.executable, "-m", "melodygen", "serve", "--port", "0", "--no-open", "--data", data, *band]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("melodygen serves http://"), first
    yield first.split()[2]
    process.terminate()
    assert process.wait(20) is not None


@pytest.fixture
def page(url: str, hum: Path) -> Iterator[Any]:
    outside: list[str] = []
    faults: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, f"--use-file-for-fake-audio-capture={hum}"]
        )
        found = browser.new_page(viewport={"width": 1300, "height": 900})

        def routed(route: Any) -> None:
            if route.request.url.startswith(url):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        found.route("**/*", routed)
        found.on("pageerror", lambda error: faults.append(str(error)))

        def said(message: Any) -> None:
            # a broken file that is answered at once is a 422, and Chromium logs each of those
            if message.type == "error" and "status of 422" not in message.text:
                faults.append(message.text)

        found.on("console", said)
        deadline = time.monotonic() + 30
        while True:
            try:
                found.goto(url)
                break
            except sync_api.Error:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield found
        browser.close()
    assert not outside and not faults


def until(page: Any, script: str, seconds: float = 30.0) -> Any:
    """Poll from outside: the page's own policy forbids what evaluates text in it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := page.evaluate(script):
            return value
        time.sleep(0.05)
    raise AssertionError(f"{script}: {page.inner_text('#status')}")


DONE = "document.getElementById('status').textContent === 'Done'"


def generate(page: Any, **fields: str) -> None:
    page.select_option("select[name=style]", "jazz")
    page.select_option("select[name=candidates]", "4")
    for name, value in fields.items():
        page.fill(f"input[name={name}]", value)
    page.click("#request button.primary")
    page.wait_for_selector("#candidates .card >> nth=3")
    until(page, DONE)


def test_from_a_request_to_a_file(page: Any, tmp_path: Path) -> None:
    page.wait_for_selector("select[name=style] option", state="attached")
    generate(page, bars="4", seed="7")
    page.click("h1")
    page.keyboard.press("1")
    until(page, "window.melodygen.player.playing")
    until(page, "window.melodygen.player.level > 0.001")  # the analyser sees sound
    until(page, "window.melodygen.player.position > 0.5")
    page.keyboard.press("2")  # A/B in place: the other candidate goes on where the first was
    assert page.evaluate("window.melodygen.player.position") > 0.4
    assert page.locator("#candidates .card").nth(1).get_attribute("class") == "card current"
    page.keyboard.press("Space")
    until(page, "!window.melodygen.player.playing")
    page.click("[aria-label='Mute melody']")
    assert not page.evaluate("window.melodygen.player.sounds('melody')")
    page.click("[aria-label='Keep candidate 2']")
    with page.expect_download() as waiting:
        page.click("[aria-label='Download candidate 2 as MIDI']")
    waiting.value.save_as(tmp_path / "a.mid")
    assert any(m.type == "note_on" for track in mido.MidiFile(tmp_path / "a.mid").tracks for m in track)
    page.reload()
    page.wait_for_selector("#candidates .card >> nth=3")  # history and kept pieces survive
    assert page.locator("#kept .card").count() == 1
    canvas = page.locator("#candidates canvas").first.bounding_box()
    y = canvas["y"] + canvas["height"] / 2
    page.mouse.move(canvas["x"] + canvas["width"] * 0.3, y)
    page.mouse.down()
    page.mouse.move(canvas["x"] + canvas["width"] * 0.7, y, steps=4)
    page.mouse.up()
    page.click("[aria-label='Write the selected bars anew'] >> nth=0")
    until(page, "!document.getElementById('back').disabled")
    until(page, DONE)
    page.click("#back")
    until(page, "document.querySelectorAll('#candidates .card').length === 4 && " + DONE)


def test_a_candidate_in_other_forms(page: Any, tmp_path: Path) -> None:
    """Notation, a file for each track, MusicXML, zoom, and bars named instead of dragged."""
    page.wait_for_selector("select[name=style] option", state="attached")
    generate(page, bars="4", seed="9")
    page.click("[aria-label='Show candidate 1 as notation or piano roll']")
    page.wait_for_selector("#candidates .notation svg .abcjs-note")
    assert (
        page.locator("#candidates .notation").first.locator(".abcjs-staff").count() >= 4
    )  # a staff for each track
    for format_, inside in (
        ("tracks", b"PK"),
        ("musicxml", b"<?xml"),
        ("dawproject", b"PK"),
        ("wav", b"RIFF"),
    ):
        with page.expect_download() as waiting:
            page.select_option("[aria-label='Download candidate 1 in another format']", format_)
        waiting.value.save_as(tmp_path / format_)
        assert (tmp_path / format_).read_bytes().startswith(inside), format_
    page.click("[aria-label='Zoom the piano roll of candidate 2']")
    assert page.evaluate(
        "(() => { const s = document.querySelectorAll('.scroll')[1]; return s.scrollWidth > 1.9 * s.clientWidth; })()"
    )
    page.fill("[aria-label='First bar to write anew in candidate 2']", "2")
    page.fill("[aria-label='Last bar to write anew in candidate 2']", "3")
    page.click("[aria-label='Write the selected bars anew'] >> nth=1")
    until(page, "!document.getElementById('back').disabled && " + DONE)
    assert "--fill 2:2" in page.evaluate(
        "fetch('/v1/jobs?count=1').then((a) => a.json()).then((jobs) => jobs[0].result.command)"
    )


def test_the_library_is_asked(page: Any, tmp_path: Path) -> None:
    page.click("#tab-library")
    page.wait_for_selector("#track-list li >> nth=9")
    until(page, "document.getElementById('map-note').textContent.startsWith('Each point')")
    page.click("#track-list button:has-text('Tune 0')")
    page.wait_for_selector("#chosen h3:has-text('Tune 0')")
    until(page, "document.getElementById('tracks-title').textContent === 'Sounds like Tune 0'")
    page.click("[aria-label='Play Tune 0']")
    until(page, "window.melodygen.player.level > 0.001")
    page.click("[aria-label='Like Tune 0']")
    until(page, "document.getElementById('likes').textContent.includes('Tune 0')")
    page.click("#recommend")
    until(page, "document.getElementById('tracks-title').textContent === 'To hear next'")
    assert "like Tune 0" in page.inner_text("#track-list")
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    for pitch in tune(2).tracks[0].notes["pitch"].tolist()[:8]:
        page.click(f"#keyboard [aria-label='{names[pitch % 12]}{pitch // 12 - 1}']")
    page.click("#find")
    until(page, "document.getElementById('tracks-title').textContent === 'Tunes with these notes'")
    assert page.locator("#track-list li").first.inner_text().startswith("Tune 2")
    box = page.locator("#map").bounding_box()
    for x in range(5, 100, 3):  # somewhere there is a point to click
        page.mouse.click(box["x"] + box["width"] * x / 100, box["y"] + box["height"] * ((7 * x) % 97) / 100)
    until(page, "document.querySelector('#chosen h3') !== null")


def test_a_hummed_tune_is_found(page: Any) -> None:
    page.click("#tab-library")
    page.wait_for_selector("#track-list li >> nth=9")
    page.click("#hum")
    until(page, "document.getElementById('hum').textContent === '■ Stop and find'")
    page.wait_for_timeout(7000)  # of sound: the microphone plays the file again and again
    page.click("#hum")
    until(page, "document.getElementById('tracks-title').textContent.startsWith('Heard')")
    assert page.locator("#track-list li").first.inner_text().startswith("Tune 3")


@pytest.mark.timeout(240)
def test_a_live_session_is_heard_and_steered(page: Any) -> None:
    page.click("#tab-live")
    page.wait_for_selector("#live-form select[name=style] option", state="attached")
    page.select_option("#live-form select[name=style]", "jazz")
    page.fill("#live-form input[name=qpm]", "200")
    page.click("#live-form button.primary")
    until(page, "!document.querySelector('#live-moves button').disabled", 100)
    until(page, "window.melodygen.player.level > 0.001", 60)
    until(page, "document.querySelector('#live-meters meter').value > 0")
    page.click("#live-moves [aria-label^='melody off or on']")
    until(page, "document.getElementById('live-status').textContent.includes('off: melody')")
    page.click("h1")
    page.keyboard.press("f")
    until(page, "document.getElementById('live-status').textContent.includes('frozen')")
    page.click("#live-stop")
    until(page, "document.getElementById('live-stop').disabled")
    with page.expect_download() as waiting:
        page.click("[aria-label='Download take.mid']")
    assert waiting.value.suggested_filename == "take.mid"


def test_a_file_is_classified(page: Any, tmp_path: Path) -> None:
    sf.write(tmp_path / "tone <b>.wav", 0.3 * np.sin(np.arange(16_000) * 0.3), 8000)
    page.click("#tab-classify")
    page.set_input_files("#files", str(tmp_path / "tone <b>.wav"))
    page.wait_for_selector("#found table")
    assert "tone <b>.wav" in page.inner_text("#found .card") and "jazz" in page.inner_text("#found table")
    page.wait_for_selector("#found canvas.spectrogram")
    page.set_input_files("#files", {"name": "broken.mid", "mimeType": "audio/midi", "buffer": b"MThd"})
    page.wait_for_selector("#found .flaw")
    (tmp_path / "album" / "cd 1").mkdir(parents=True)
    for name in ("a.wav", "cd 1/b.wav"):
        sf.write(tmp_path / "album" / name, 0.3 * np.sin(np.arange(16_000) * 0.2), 8000)
    (tmp_path / "album" / "cover.txt").write_text("no music")
    page.set_input_files("#folder", str(tmp_path / "album"))
    page.wait_for_selector("#found .card >> nth=3")
    until(page, "document.querySelectorAll('#found table').length === 3")
