"""The services of docker-compose.yml as plain processes of this machine.

Commands, environments and healthchecks are taken from the file unchanged, except for what containers provide:
host names become 127.0.0.1, ports become free ones, and volumes become folders.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.packaging.compose_file import ROOT

# A service's name where a URL has its host.
HOSTS = re.compile(r"(?P<before>//|@)(label-studio|postgres|redis|dsal\.backend)(?=:\d)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unprivileged() -> dict[str, Any]:
    """Options of `subprocess` for a server that refuses to run as root: another user, if we are root."""
    if os.geteuid() != 0:
        return {}
    return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


@dataclass
class Service:
    """One running service: its process, and its healthcheck."""

    name: str
    process: subprocess.Popen[bytes]
    check: list[str]
    environment: dict[str, str]
    log: Path
    seconds_to_start: float

    def healthy(self) -> bool:
        done = subprocess.run(
            self.check,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode == 0

    def wait_until_healthy(self) -> None:
        end = time.monotonic() + self.seconds_to_start
        while True:
            began = time.monotonic()
            if self.healthy():
                return
            assert self.process.poll() is None, f"{self.name} ended:\n{self.last_output()}"
            assert time.monotonic() < end, f"{self.name} is not healthy:\n{self.last_output()}"
            # A healthcheck starts a program, which slows down the service's start.
            time.sleep(max(0.3, 2 * (time.monotonic() - began)))

    def last_output(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return self.process.returncode


@dataclass
class Machine:
    """Replacement for the containers: a folder for volumes, the folders of programs, free ports."""

    folder: Path
    programs: Mapping[str, Path]
    ports: dict[str, str] = field(
        default_factory=lambda: {port: str(free_port()) for port in ("5432", "6379", "8080", "9090")}
    )
    running: list[Service] = field(default_factory=list)

    def start(self, name: str, service: Mapping[str, Any], **options: Any) -> Service:
        """Start one service of the interpolated compose file; it may not be healthy yet."""
        environment = self.environment(name, service)
        check = [self.local(name, service, word) for word in service["healthcheck"]["test"]]
        check = ["sh", "-c", *check[1:]] if check[0] == "CMD-SHELL" else check[1:]
        command = options.pop("command", None) or [
            self.local(name, service, word) for word in service["command"]
        ]
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                resolved(command, environment),
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **options,
            )
        found = Service(name, process, resolved(check, environment), environment, log, 240)
        self.running.append(found)
        return found

    def environment(self, name: str, service: Mapping[str, Any]) -> dict[str, str]:
        """The environment that the container's process would have; nothing of our own."""
        given = {key: self.local(name, service, value) for key, value in service["environment"].items()}
        path = f"{self.programs[name]}{os.pathsep}{os.defpath}"
        return {"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8", **given}

    def volume(self, service: Mapping[str, Any], place: str) -> Path:
        """The folder that replaces the volume mounted at `place`."""
        source = next(volume.split(":")[0] for volume in service["volumes"] if volume.split(":")[1] == place)
        folder: Path = self.folder / source
        folder.mkdir(exist_ok=True)
        return folder

    def local(self, name: str, service: Mapping[str, Any], text: str) -> str:
        """A word of a command or a value of an environment, adapted to run outside a container."""
        for place in (volume.split(":")[1] for volume in service.get("volumes", [])):
            if text == place or text.startswith(f"{place}/"):
                return f"{self.volume(service, place)}{text.removeprefix(place)}"
        if text in {"postgres", "0.0.0.0"}:
            return "127.0.0.1"
        text = HOSTS.sub(r"\g<before>127.0.0.1", text)
        return re.sub("|".join(rf"\b{port}\b" for port in self.ports), lambda hit: self.ports[hit[0]], text)

    def stop(self) -> None:
        for service in reversed(self.running):
            service.stop()


def resolved(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command with its program's full path, found on the PATH of its environment."""
    program = shutil.which(command[0], path=environment["PATH"])
    assert program, f"{command[0]} is not on {environment['PATH']}"
    return [program, *command[1:]]


class PostgresImage:
    """Does what the entry point of PostgreSQL's image does on an empty volume, in the same steps."""

    def __init__(self, machine: Machine, service: Mapping[str, Any]) -> None:
        self._machine, self._service = machine, service
        self._data = machine.volume(service, "/var/lib/postgresql/data") / "pgdata"
        self._sockets = machine.folder / "sockets"
        self._environment = machine.environment("postgres", service)

    def start(self) -> Service:
        self._sockets.mkdir()
        if os.geteuid() == 0:
            for folder in (self._machine.folder, self._data.parent, self._sockets):
                shutil.chown(folder, "nobody", pwd.getpwnam("nobody").pw_gid)
        self._initialise()
        port = self._machine.ports["5432"]
        listen = ["-c", "listen_addresses=127.0.0.1", "-p", port, "-k", str(self._sockets)]
        return self._machine.start(
            "postgres", self._service, command=["postgres", "-D", str(self._data), *listen], **unprivileged()
        )

    def _initialise(self) -> None:
        password = self._machine.folder / "password"
        password.write_text(self._environment["POSTGRES_PASSWORD"])
        password.chmod(0o644)
        ways = ["--auth-local=trust", "--auth-host=scram-sha-256"]
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", f"--pwfile={password}", "--no-sync", *ways
        )
        server = ["pg_ctl", "-D", str(self._data), "-w", "-l", str(self._sockets / "log")]
        self._run(*server, "-o", f"-c listen_addresses='' -k {self._sockets}", "start")
        try:
            self._run_init_scripts()
        finally:
            self._run(*server, "stop")

    def _run_init_scripts(self) -> None:
        for volume in self._service["volumes"]:
            source, place, *_ = volume.split(":")
            if place.startswith("/docker-entrypoint-initdb.d/"):
                script = self._machine.folder / Path(place).name
                shutil.copy(ROOT / source, script)
                script.chmod(0o755)
                self._run(str(script), PGHOST=str(self._sockets))

    def _run(self, *command: str, **extra: str) -> None:
        environment = {**self._environment, **extra}
        done = subprocess.run(
            resolved(command, environment),
            env=environment,
            cwd=self._machine.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **unprivileged(),
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
