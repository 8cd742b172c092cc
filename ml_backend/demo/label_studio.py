"""A real Label Studio as a child process, for `dsal demo` and for the tests.

It runs in its own virtual environment (its pins conflict with ours), writes only into one folder, uses
SQLite, sends no telemetry, and may call backends on private addresses.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from ml_backend.demo.account import Account, AccountError

STOP_SECONDS = 10.0
MIGRATION_SECONDS = 900.0
"""Limit for the first migration of a database: half a minute of one core, and much more on a busy machine."""
_DATABASE = "label_studio.sqlite3"

Progress = Callable[[str], None]


class LabelStudioServerError(Exception):
    """Label Studio could not be started; the message says why."""


@dataclass(frozen=True)
class _Login:
    """Content of `login.json` in the data folder, with which a later start uses the same account."""

    email: str
    password: str
    token: str = ""


class LabelStudioServer:
    """Starts Label Studio, waits until it answers, creates a user with a token, and stops it again.

    After `start`, the attributes `url`, `email`, `password` and `token` (a personal access token) are set.
    Started again on the same folder, it serves the same projects under the same login.
    """

    def __init__(
        self,
        executable: Path,
        data_dir: Path,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        templates: Path | None = None,
        extra_env: Mapping[str, str] | None = None,
    ) -> None:
        """Configure a server; nothing is started yet.

        Args:
            executable: the `label-studio` command.
            data_dir: folder for everything that it writes.
            port: 0 for any free one.
            host: address on which it listens.
            templates: folder for a migrated empty database, which shortens a first start from half a minute
                to a few seconds; None for none.
            extra_env: overrides the environment that this module sets.
        """
        self.executable = executable
        self.data_dir = data_dir.absolute()
        self.host = host
        self.port = port
        self.email = self.password = self.token = self.url = ""
        self._templates = templates
        self._extra_env = dict(extra_env or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Log file with everything that Label Studio prints."""
        return self.data_dir / "label-studio.log"

    @property
    def pid(self) -> int | None:
        """The process id; None if it is not running."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, progress: Progress | None = None, timeout: float = 180.0) -> None:
        """Start, and return once a user and a token exist; `progress` is called with each step's name.

        Raises LabelStudioServerError if that does not succeed within `timeout` seconds, the first migration
        of a database not counted; Label Studio is then stopped.
        """
        report = progress or (lambda _: None)
        if not self.executable.exists():
            raise LabelStudioServerError(
                f"There is no {self.executable}: install Label Studio into a virtual environment of its own."
            )
        if self.port and _taken(self.host, self.port):
            # Label Studio would silently use the next port.
            raise LabelStudioServerError(f"Port {self.port} is taken: choose another for Label Studio.")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.data_dir / "home").mkdir(exist_ok=True)
        login = self._login()
        self.port = self.port or _free_port(self.host)
        self.url = f"http://{_reachable(self.host)}:{self.port}"
        try:
            self._prepare_database(report, time.monotonic() + MIGRATION_SECONDS)
            deadline = time.monotonic() + timeout
            report("starting Label Studio")
            self._launch(login)
            self._wait(deadline)
            self._sign_in(login, report)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the process, by SIGTERM and after `STOP_SECONDS` by SIGKILL; safe to call at any time."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _login(self) -> _Login:
        path = self.data_dir / "login.json"
        if path.exists():
            return _Login(**json.loads(path.read_text()))
        login = _Login("annotator@example.com", secrets.token_urlsafe(12))
        _write_private(path, json.dumps(asdict(login)))
        return login

    def _prepare_database(self, report: Progress, deadline: float) -> None:
        """Copy the migrated empty database into a new folder, creating it first if there is none."""
        database = self.data_dir / _DATABASE
        version = _version(self.executable)
        if self._templates is None or version is None or database.exists():
            return
        template = self._templates / f"label-studio-{version}.sqlite3"
        if not template.exists():
            report("preparing Label Studio's database (once)")
            with _locked(self._templates, deadline):
                if not template.exists():
                    self._make_template(template, deadline)
        shutil.copyfile(template, database)

    def _make_template(self, template: Path, deadline: float) -> None:
        with tempfile.TemporaryDirectory(dir=template.parent, prefix="migrating-") as folder:
            # `version` is the lightest command that applies the migrations.
            command = [str(self.executable), "version", "--data-dir", folder]
            environment = {**self._environment(), "LABEL_STUDIO_BASE_DATA_DIR": folder}
            with self.log.open("ab") as log:
                try:
                    subprocess.run(
                        command,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        check=True,
                        timeout=max(1.0, deadline - time.monotonic()),
                    )
                except subprocess.TimeoutExpired as error:
                    raise LabelStudioServerError(
                        "Label Studio did not finish creating its database in time: "
                        "start again when the machine is less busy."
                    ) from error
                except (subprocess.SubprocessError, OSError) as error:
                    raise LabelStudioServerError(
                        f"Label Studio could not create its database: {_last_line(self.log)}"
                    ) from error
            (Path(folder) / _DATABASE).replace(template)

    def _launch(self, login: _Login) -> None:
        command = [str(self.executable), "start", "--no-browser"]
        command += ["--internal-host", self.host, "--port", str(self.port)]
        environment = {
            **self._environment(),
            "LABEL_STUDIO_USERNAME": login.email,
            "LABEL_STUDIO_PASSWORD": login.password,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.data_dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal must reach only the process that started this one, which stops it.
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """The child's whole environment; nothing is inherited, so that no setting of the user reaches it."""
        return {
            "PATH": f"{self.executable.parent}{os.pathsep}{os.defpath}",
            "LANG": "C.UTF-8",
            "HOME": str(self.data_dir / "home"),
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.data_dir),
            "DJANGO_DB": "sqlite",
            "LOG_LEVEL": "WARNING",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "DISABLE_SIGNUP_WITHOUT_LINK": "true",
            # Only this allows ML backends on private addresses.
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            **self._extra_env,
        }

    def _wait(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self.pid is None:
                raise LabelStudioServerError(
                    f"Label Studio ended while starting: {_last_line(self.log)} (the log is {self.log})"
                )
            try:
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise LabelStudioServerError(f"Label Studio did not answer at {self.url} in time; see {self.log}.")

    def _sign_in(self, login: _Login, report: Progress) -> None:
        token = login.token
        if not token:
            report("making a user and a token")
            try:
                token = Account(self.url, login.email, login.password).personal_access_token()
            except AccountError as error:
                raise LabelStudioServerError(str(error)) from error
            _write_private(
                self.data_dir / "login.json", json.dumps(asdict(_Login(login.email, login.password, token)))
            )
        self.email, self.password, self.token = login.email, login.password, token


def _version(executable: Path) -> str | None:
    """The release of Label Studio in the environment of `executable`; None if it is not found there."""
    found = sorted(executable.parent.parent.glob("lib/python*/site-packages/label_studio-*.dist-info"))
    return found[-1].name.removeprefix("label_studio-").removesuffix(".dist-info") if found else None


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _taken(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_reachable(host), port)) == 0


def _reachable(host: str) -> str:
    return "localhost" if host in ("0.0.0.0", "127.0.0.1") else host


@contextmanager
def _locked(templates: Path, deadline: float) -> Iterator[None]:
    """Lock the folder, so that only one process migrates: that takes a core for half a minute."""
    templates.mkdir(parents=True, exist_ok=True)
    with (templates / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LabelStudioServerError(
                        f"Another process keeps {templates} locked, to prepare Label Studio's database."
                    ) from None
                time.sleep(0.1)
        yield


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it printed nothing"
