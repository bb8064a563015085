"""Pictures of the studio page for the documentation, with the shipped models and a small library of the given music.

    python scripts/page_screenshots.py MUSIC_FOLDER OUT_FOLDER

Needs playwright and a Chromium of the system.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


def main() -> None:
    music, out = map(Path, sys.argv[1:3])
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library"
        add = ["library", "add", str(music), "--library", str(library), "-q"]
        subprocess.run(
            [sys.executable, "-m", "melodygen", *add], check=False
        )  # a file that fails is left out
        command = [sys.executable, "-m", "melodygen", "serve", "--port", "0", "--no-open", "--data", folder]
        process = subprocess.Popen([*command, "--library", str(library)], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        url = process.stderr.readline().split()[2]
        try:
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                page = browser.new_page(viewport={"width": 1200, "height": 820})
                page.set_default_timeout(300_000)
                _take(page, url, sorted(music.iterdir()), out)
                browser.close()
        finally:
            process.terminate()
            process.wait(20)


def _take(page: Any, url: str, files: list[Path], out: Path) -> None:
    for _ in range(100):
        try:
            page.goto(url)
            break
        except Exception:
            time.sleep(0.3)
    page.wait_for_selector("select[name=style] option", state="attached")
    page.select_option("select[name=style]", "jazz")
    page.select_option("select[name=candidates]", "4")
    page.fill("#request input[name=bars]", "8")
    page.fill("#request input[name=seed]", "7")
    page.click("#request button.primary")
    page.wait_for_selector("#candidates .card >> nth=3")
    page.wait_for_selector("#summary button")
    page.click("[aria-label='Keep candidate 2']")
    page.click("[aria-label='Show candidate 1 as notation or piano roll']")
    page.wait_for_selector("#candidates .notation svg .abcjs-note")
    page.click("h1")
    page.keyboard.press("2")
    page.wait_for_timeout(1500)
    page.keyboard.press("Space")
    page.screenshot(path=str(out / "studio.png"))
    page.click("#tab-classify")
    recording = next(f for f in files if f.suffix in (".flac", ".wav", ".ogg", ".mp3"))
    page.set_input_files("#files", [str(recording)])
    page.wait_for_selector("#found table")
    page.wait_for_selector("#found canvas.spectrogram")
    page.wait_for_timeout(500)
    page.screenshot(path=str(out / "studio_classify.png"))
    page.click("#tab-library")
    page.wait_for_selector("#map-note:has-text('Each point')")
    page.click("#track-list button >> nth=2")
    page.wait_for_selector("#chosen h3")
    page.wait_for_timeout(800)
    page.screenshot(path=str(out / "studio_library.png"))
    page.click("#tab-live")
    page.wait_for_selector("#live-form select[name=style] option", state="attached")
    page.select_option("#live-form select[name=style]", "jazz")
    page.click("#live-form button.primary")
    page.wait_for_selector("#live-moves button:not([disabled])")
    page.wait_for_timeout(4000)
    page.screenshot(path=str(out / "studio_live.png"))
    page.click("#live-stop")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 780})
    page.click("#tab-generate")
    page.wait_for_timeout(500)
    page.screenshot(path=str(out / "studio_phone.png"))


if __name__ == "__main__":
    main()
