"""Text of others that would forge log lines, command a terminal, or be read as SQL or markup."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from rich.text import Text
from sqlalchemy import text

from ml_backend.cli import console
from ml_backend.cli.console import PlainConsole
from ml_backend.items import contained
from ml_backend.queue.logs import FORMAT, OneLine, printable
from ml_backend.store import events, projects
from ml_backend.web.app import Services

FORGED = "2026-11-27 20:00:00,000 ERROR   ml_backend.web [1] All labels were deleted"
ESCAPES = (
    "\x1b[2J\x1b[31m",
    "\x9b31m",
    "\x1b]0;title\x07",
    "\r",
    "\b" * 20,
    "\x00",
    "\x7f",
    "\u202e",
    "\ud83d",
)
HOSTILE = [f"a title\n{FORGED}", f"a title\u2028{FORGED}", f"a title\x85{FORGED}", *ESCAPES]
SQL = ["'; DROP TABLE projects; --", '" OR 1=1 --', "%s %(x)s :name ? $1", "x'||(SELECT 1)||'", "\\'; --"]


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(log: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(log)
    handler.setFormatter(OneLine(FORMAT))
    logger = logging.Logger("ml_backend.test")
    logger.addHandler(handler)
    return logger


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_no_text_begins_a_line_of_the_log_or_commands_a_terminal(
    log: io.StringIO, logger: logging.Logger, hostile: str
) -> None:
    logger.warning("Task %s cannot be read", {"image": hostile})
    logger.warning("Task 7 cannot be read: %s", hostile)
    assert len(log.getvalue().splitlines()) == 2
    try:
        raise ValueError(hostile)
    except ValueError:
        logger.exception("Task %d is left out.", 7)
    lines = log.getvalue().split("\n")
    assert all(line.startswith(("  ", "20")) for line in lines[:-1])
    assert [line for line in lines if line.startswith(FORGED)] == []
    assert all(line.isprintable() for line in lines)
    log.getvalue().encode()


def test_a_trace_in_a_library_s_message_is_indented(log: io.StringIO, logger: logging.Logger) -> None:
    logger.name = "rq.worker"
    logger.error("Job 7 failed\n%s", f"Traceback\n  File x\n{FORGED}")
    first, *others = log.getvalue().rstrip().split("\n")
    assert first.endswith("Job 7 failed")
    assert len(others) == 3
    assert all(line.startswith("  ") for line in others)


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_commands_print_no_control_characters(hostile: str) -> None:
    out = io.StringIO()
    plain = PlainConsole(file=out, highlight=False, width=500, force_terminal=False)
    plain.print(f"Project 3: {hostile}", markup=False, soft_wrap=True)
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
    out.getvalue().encode()
    # What a command prints as JSON stays JSON.
    assert json.loads(printable(json.dumps({"title": hostile}, ensure_ascii=False))) == {"title": hostile}


@pytest.mark.parametrize("hostile", [*HOSTILE, "[red]", "a[/]b", "[link=http://x]y", ":bone:"], ids=repr)
def test_titles_in_tables_and_lists_are_shown_as_they_are(
    hostile: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for width, is_terminal in ((500, True), (500, False)):
        made = partial(PlainConsole, width=width, force_terminal=is_terminal, no_color=True)
        monkeypatch.setattr(console, "PlainConsole", made)
        table = console.listing("project", "title")
        table.add_row("3", hostile)
        table.add_row("4", Text(hostile))
        console.print_listing(table, f"Project 3 “{hostile}”")
        console.print_points([f"task 7 {hostile} is left out"])
        console.print_error(hostile)
        for part in capsys.readouterr():
            bare = part.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
            assert all(line.isprintable() for line in bare.split("\n"))
            if hostile.isprintable():
                assert bare.count(hostile) == (4 if "Project" in bare else 1)


def test_a_sentence_about_an_item_is_one_line() -> None:
    said: list[str] = []
    with contained("Task 7", said.append):
        raise ValueError(f"bad value\n{FORGED}")
    assert len(said[0].splitlines()) == 1


@pytest.mark.parametrize("hostile", [*SQL, HOSTILE[0], "\x1b[31m", "<script>alert(1)</script>"], ids=repr)
def test_what_label_studio_sends_is_stored_as_text(
    client: FlaskClient, services: Services, hostile: str
) -> None:
    config = f'<View><Image name="image" value="$image"/><Header value={json.dumps(hostile[:5])}/></View>'
    project = {"id": 3, "title": hostile, "label_config": config}
    user = {"email": hostile, "username": hostile}
    event = {
        "action": "ANNOTATION_CREATED",
        "project": project,
        "task": {"id": 5, "data": {"image": hostile}},
        "annotation": {"id": 9, "completed_by": user, "was_cancelled": False},
    }
    assert client.post("/webhook", json=event).status_code == 200
    setup = {"project": f"3.{hostile}", "schema": config, "hostname": hostile}
    assert client.post("/setup", json=setup).status_code in (200, 400)
    for path in (f"/versions?project={hostile}", f"/api/projects/3?x={hostile}", f"/{hostile}"):
        assert client.get(path).status_code < 500
    with services.database.read() as session:
        stored = projects.get(session, 3)
        assert stored is not None
        assert stored.title == hostile
        assert events.pending(session, 3).changes == 1
        assert session.scalar(text("SELECT count(*) FROM projects")) == 1
    page = client.get("/").get_data(as_text=True)
    assert "<script>alert" not in page


def test_what_a_worker_logs_of_a_title_is_one_line(tmp_path: Path) -> None:
    """Through the configuration that the processes use, with what logging itself writes."""
    code = (
        "import logging, sys\n"
        "from ml_backend.queue.logs import configure_logs\n"
        "configure_logs('INFO')\n"
        "logging.getLogger('ml_backend.x').warning('%s', sys.argv[1])\n"
        "logging.getLogger('alembic').warning('%s', sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"a\n{FORGED}\x1b[31m"], capture_output=True, text=True, check=True
    )
    assert len([line for line in done.stderr.splitlines() if line.startswith("20")]) == 2
    assert "\x1b" not in done.stderr
