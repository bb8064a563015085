"""The studio page in a real browser, the network cut: generate, hear, compare, keep, refill, download, classify."""

from __future__ import annotations

import os
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
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
)  # fmt: skip


@pytest.fixture(scope="module")
def url(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    band = ("--model", "fakeband", "--renderer", "fakeband", "--classifier", "fakeband")
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
def page(url: str) -> Iterator[Any]:
    outside: list[str] = []
    faults: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        found = browser.new_page(viewport={"width": 1300, "height": 900})

        def routed(route: Any) -> None:
            if route.request.url.startswith(url):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        found.route("**/*", routed)
        found.on("pageerror", lambda error: faults.append(str(error)))
        found.on("console", lambda message: message.type == "error" and faults.append(message.text))
        deadline = time.monotonic() + 30
        while True:
            try:
                found.goto(url)
                break
            except sync_api.Error:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield found
        if folder := os.environ.get("MELODYGEN_SCREENSHOTS"):
            found.screenshot(path=str(Path(folder) / "studio.png"))
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


def test_a_file_is_classified(page: Any, tmp_path: Path) -> None:
    sf.write(tmp_path / "tone <b>.wav", 0.3 * np.sin(np.arange(16_000) * 0.3), 8000)
    page.click("#tab-classify")
    page.set_input_files("#files", str(tmp_path / "tone <b>.wav"))
    page.wait_for_selector("#found table")
    assert "tone <b>.wav" in page.inner_text("#found .card") and "jazz" in page.inner_text("#found table")
    page.set_input_files("#files", {"name": "broken.mid", "mimeType": "audio/midi", "buffer": b"MThd"})
    page.wait_for_selector("#found .flaw")
