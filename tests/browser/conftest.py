"""A demo that has run its rounds, and a Chromium that is logged in to its Label Studio."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from ml_backend.demo.label_studio import LabelStudioServer
from tests.demos import Demo, kill_everything, play, stop
from tests.people import PASSWORD, sign_up

Person = Callable[[str], Page]
"""Signs a new user up under an e-mail address, and returns a page where they are logged in."""
Shoot = Callable[[Page, str], None]
"""Saves a screenshot of a page under a name."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WINDOW = ViewportSize(width=1440, height=900)
PATIENCE = 60_000

QUICK = "--rounds 1 --per-round 4 --tasks 12 --test 3 --width 8 --size 160 --steps 150 --seconds 60"
FINE = "--rounds 3 --per-round 10 --tasks 60 --test 10 --width 16 --size 384 --seconds 120"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", type=Path, help="folder for screenshots; the demo then trains some minutes longer"
    )


@pytest.fixture(scope="session")
def pictures(request: pytest.FixtureRequest) -> Path | None:
    """The folder for screenshots; None if none are wanted."""
    folder: Path | None = request.config.getoption("--screenshots", default=None)
    return folder


@pytest.fixture(scope="session")
def demo(
    label_studio: Path, pictures: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """A demo that stays up; at the end, Ctrl-C must stop all its processes, and it must exit with 0."""
    options = FINE if pictures else QUICK
    played = play(tmp_path_factory.mktemp("demo"), label_studio, options.split())
    try:
        yield played
        status, left = stop(played.process)
        assert not left
        assert status == 0
    finally:
        if played.process.poll() is None:
            kill_everything(played.process)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if executable is None:
        pytest.fail(
            "There is no Chromium: run `make test`, which installs it, or install the package chromium."
        )
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(SWITCHES))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session", autouse=True)
def _patience() -> None:
    """Assertions wait as long as actions do: on a busy machine an image may take longer than their 5 s."""
    expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def log_in(browser: Browser) -> Iterator[Callable[[str, str, str], BrowserContext]]:
    """A function that returns a browser logged in to the Label Studio at a URL, with e-mail and password."""
    opened: list[BrowserContext] = []

    def enter(url: str, email: str, password: str) -> BrowserContext:
        context = browser.new_context(viewport=WINDOW)
        opened.append(context)
        context.set_default_timeout(PATIENCE)
        # Posts the form without opening its page: closing a page during its navigation may hang.
        form = context.request.get(url)
        (token,) = [cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken"]
        fields: dict[str, str | float | bool] = {
            "email": email,
            "password": password,
            "csrfmiddlewaretoken": token,
        }
        entered = context.request.post(form.url, form=fields, headers={"Referer": form.url})
        assert entered.ok, entered.status
        assert "/user/login" not in entered.url, f"Label Studio refuses the login of {email}."
        return context

    yield enter
    for context in opened:
        context.close()


@pytest.fixture
def refused() -> list[str]:
    """Addresses that the pages of a `person` asked for and Label Studio refused."""
    return []


@pytest.fixture
def person(
    server: LabelStudioServer, log_in: Callable[[str, str, str], BrowserContext], refused: list[str]
) -> Person:
    """Makes new users."""

    def make(email: str) -> Page:
        sign_up(server, email)
        page = log_in(server.url, email, PASSWORD).new_page()
        page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
        return page

    return make


@pytest.fixture(scope="session")
def visitor(log_in: Callable[[str, str, str], BrowserContext], demo: Demo) -> BrowserContext:
    """A browser with the login that the demo printed."""
    return log_in(demo.url, demo.email, demo.password)


@pytest.fixture
def page(visitor: BrowserContext) -> Iterator[Page]:
    page = visitor.new_page()
    yield page
    page.close()


@pytest.fixture
def shoot(pictures: Path | None) -> Shoot:
    """Saves screenshots, if they are wanted."""

    def save(page: Page, name: str) -> None:
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=pictures / f"{name}.png")

    return save
