"""A film strip: what an annotator sees as each task opens, in Label Studio's editor in Chromium."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import Page, ViewportSize, sync_playwright

from ml_backend.demo.account import Account

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)
WINDOW = ViewportSize(width=1440, height=900)
SETTLED_MS = 1500
"""Time in which the editor draws the regions of a task after its image is visible."""

FRAME = (300, 380)
CAPTION = 44
COLUMNS = 6


class Film:
    """Takes one frame for each task, and keeps all of them as one picture in the file `path`."""

    def __init__(self, page: Page, url: str, path: Path) -> None:
        self._page = page
        self._url = url
        self._path = path
        self._frames: list[Image.Image] = []

    def take(self, project: int, view: int, task: int, caption: str) -> None:
        """Open a task in the editor and keep a picture of its image, with what is drawn on it."""
        page = self._page
        page.goto(f"{self._url}/projects/{project}/data?tab={view}&task={task}")
        image = page.locator('img[alt="image"]')
        image.wait_for(state="visible")
        page.wait_for_timeout(SETTLED_MS)
        box = image.bounding_box()
        assert box is not None
        shot = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
        self._frames.append(_frame(shot, caption))
        self._save()

    def _save(self) -> None:
        """Save all frames in rows, from left to right."""
        rows = -(-len(self._frames) // COLUMNS)
        width, height = FRAME[0], FRAME[1] + CAPTION
        strip = Image.new("RGB", (COLUMNS * width, rows * height), "white")
        for index, frame in enumerate(self._frames):
            strip.paste(frame, (index % COLUMNS * width, index // COLUMNS * height))
        strip.save(self._path)


@contextmanager
def film(path: Path, url: str, email: str, password: str) -> Iterator[Film]:
    """Start Chromium and log in to the Label Studio at `url`; frames are kept in the file `path`.

    Raises:
        SystemExit: there is no Chromium.
        AccountError: Label Studio refuses the login.
    """
    executable = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if executable is None:
        raise SystemExit("There is no Chromium: `scripts/setup.sh chromium` installs it.")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        context = chromium.new_context(viewport=WINDOW)
        context.set_default_timeout(60_000)
        cookies = Account(url, email, password).cookies
        context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
        try:
            yield Film(context.new_page(), url, path)
        finally:
            chromium.close()


def _frame(shot: Image.Image, caption: str) -> Image.Image:
    """A screenshot within `FRAME`, above its caption."""
    shot.thumbnail((FRAME[0] - 10, FRAME[1] - 10))
    framed = Image.new("RGB", (FRAME[0], FRAME[1] + CAPTION), "white")
    framed.paste(shot, ((FRAME[0] - shot.width) // 2, (FRAME[1] - shot.height) // 2))
    font = ImageFont.load_default(15)
    ImageDraw.Draw(framed).multiline_text((8, FRAME[1] + 2), caption, fill="black", font=font)
    return framed
