"""An installation of docker-compose.yml in containers, and what its operator does by documented commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ml_backend.demo.processes import free_port

ROOT = Path(__file__).parents[2]
SERVICES = ("postgres", "redis", "label-studio", "backend", "worker")
PASSED_ON = ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "TORCH_INDEX_URL")
COMMAND_SECONDS = 1200.0
POLL_SECONDS = 0.5
KILLER = "import os, signal, sys; [os.kill(int(pid), getattr(signal, sys.argv[1])) for pid in sys.argv[2:]]"
Found = TypeVar("Found")


class CommandError(AssertionError):
    """A command failed; the message has its output."""


class Installation:
    """A folder with the files of a checkout, an .env, and a Compose project of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"dsal-test-{os.getpid()}"
        self.image = f"{self.name}:under-test"
        self.variables = {
            "POSTGRES_PASSWORD": "d0c5a7e1",
            "BASIC_AUTH_PASS": "e1f2b8c3",
            "LABEL_STUDIO_USERNAME": "first@example.com",
            "LABEL_STUDIO_PASSWORD": "a-password-of-the-first-user",
            "LABEL_STUDIO_PORT": str(free_port()),
            "BACKEND_PORT": str(free_port()),
            # Nothing answers there: whatever the services ask each other must not go that way.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            # A round of few labels ends soon.
            "RETRAIN_EVERY": "3",
        }
        self.variables["LABEL_STUDIO_HOST"] = self.label_studio_url
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def label_studio_url(self) -> str:
        """Where the person opens Label Studio."""
        return f"http://localhost:{self.variables['LABEL_STUDIO_PORT']}"

    @property
    def backend_url(self) -> str:
        """Where this machine reaches the backend."""
        return f"http://localhost:{self.variables['BACKEND_PORT']}"

    def lay_out(self, archive: bytes) -> None:
        """Put the files of a checkout into the folder, instead of those that were there, and write .env."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(self.folder, filter="data")
        # An image of a name of its own. Builds may need the host's way to the registries of packages.
        ours = {"image": self.image}
        added = {"services": {"backend": {**ours, "build": {"network": "host"}}, "worker": ours}}
        (self.folder / "docker-compose.override.yml").write_text(yaml.safe_dump(added))
        self.configure()

    def configure(self, **variables: str) -> None:
        """Write .env, with these variables set in addition."""
        self.variables |= variables
        lines = [f"{name}={value}\n" for name, value in self.variables.items()]
        (self.folder / ".env").write_text("".join(lines))

    def run(self, line: str, *, check: bool = True, seconds: float = COMMAND_SECONDS) -> str:
        """Run a line of the documents in the folder; returns what it printed."""
        print(f"\n$ {line}", flush=True)
        began = time.monotonic()
        done = subprocess.run(
            line,
            shell=True,
            cwd=self.folder,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
            | {"COMPOSE_PROJECT_NAME": self.name, "BUILDKIT_PROGRESS": "plain", "COMPOSE_ANSI": "never"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
        print(done.stdout + _without_progress(done.stderr), flush=True)
        print(f"[{time.monotonic() - began:.1f} s, status {done.returncode}]", flush=True)
        if check and done.returncode != 0:
            raise CommandError(
                f"{line}: status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
            )
        return done.stdout

    def compose(self, *words: str, check: bool = True) -> str:
        """`docker compose …`."""
        return self.run(shlex.join(["docker", "compose", *words]), check=check)

    def up(self) -> float:
        """Start what does not run, as the README says; returns the seconds until all services are healthy."""
        began = time.monotonic()
        self.compose("up", "--detach", "--wait")
        return time.monotonic() - began

    def dsal(self, *words: str, service: str = "backend") -> str:
        """`dsal …` in the container of a service."""
        return self.compose("exec", "--no-TTY", service, "dsal", *words)

    def is_in_order(self, service: str) -> bool:
        """Whether `dsal doctor` finds no fault in the container of a service."""
        words = ["docker", "compose", "exec", "--no-TTY", service, "dsal", "doctor"]
        try:
            self.run(shlex.join(words))
        except CommandError:
            return False
        return True

    def container(self, service: str) -> str:
        """The id of a service's container, whether it runs or not."""
        words = ["docker", "compose", "ps", "--all", "--quiet", service]
        return self._quietly(*words).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        found: list[dict[str, Any]] = json.loads(self._quietly("docker", "inspect", self.container(service)))
        return found[0]

    def state(self, service: str) -> str:
        """`healthy`, `starting` or `unhealthy` of a running container; else its state, such as `exited`."""
        state = self.inspect(service)["State"]
        return str(state["Health"]["Status"] if state["Status"] == "running" else state["Status"])

    def kill(self, service: str) -> None:
        """`docker kill`, the way of a person."""
        self.run(f"docker kill {self.container(service)}")

    def crash(self, service: str) -> None:
        """Kill a service's own process from outside of its container, as the kernel does."""
        self._signal([self._program(service)], "SIGKILL")

    def hang(self, service: str) -> None:
        """Stop all processes of a service, so that none goes on, none ends, and the container stays."""
        listed = self._quietly("docker", "top", self.container(service), "-o", "pid").splitlines()[1:]
        self._signal([int(line) for line in listed], "SIGSTOP")

    def wait(self, condition: Callable[[], Found | None], what: str, seconds: float = 600) -> Found:
        """What the condition returns once that is true."""
        began = time.monotonic()
        while True:
            if found := condition():
                print(f"[{what}: after {time.monotonic() - began:.1f} s]", flush=True)
                return found
            assert time.monotonic() - began < seconds, f"waited {seconds:.0f} s for {what}"
            time.sleep(POLL_SECONDS)

    def image_layers(self) -> list[str]:
        """The digests of the image's layers, the base's first."""
        found = json.loads(self._quietly("docker", "image", "inspect", self.image))[0]
        digests: list[str] = found["RootFS"]["Layers"]
        return digests

    def copied_bytes(self) -> list[int]:
        """The bytes of the layers that COPY made, which are the image's last ones, in their order."""
        form = "{{.Size}}\t{{.CreatedBy}}"
        words = ["docker", "history", "--no-trunc", "--human=false", "--format", form, self.image]
        rows = [line.split("\t", 1) for line in self._quietly(*words).splitlines()]
        return [int(size) for size, by in reversed(rows) if by.startswith("COPY ")]

    def image_bytes(self) -> int:
        """The image's size on the disk."""
        return int(json.loads(self._quietly("docker", "image", "inspect", self.image))[0]["Size"])

    def remove(self) -> None:
        """Remove containers, volumes, networks and the image."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)
        self.run(f"docker image rm --force {self.image}", check=False)

    def _signal(self, pids: Sequence[int], name: str) -> None:
        """Send a signal to processes of the host that the engine runs on, which may be another machine."""
        self.run(
            "docker run --rm --pid host --privileged --network none --user 0 --entrypoint python"
            f" {self.image} -c {shlex.quote(KILLER)} {name} {' '.join(map(str, pids))}"
        )

    def _program(self, service: str) -> int:
        """The process of the service's command, on the host: the child of `init`, where there is one."""
        listed = self._quietly("docker", "top", self.container(service), "-o", "pid,ppid,comm").splitlines()[
            1:
        ]
        rows = [line.split(None, 2) for line in listed]
        first = int(self.inspect(service)["State"]["Pid"])
        if rows and any(row[2].startswith(("docker-init", "tini")) for row in rows if int(row[0]) == first):
            return next(int(row[0]) for row in rows if int(row[1]) == first)
        return first

    def _quietly(self, *words: str) -> str:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=environment | {"COMPOSE_PROJECT_NAME": self.name},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CommandError(f"{shlex.join(words)}: {done.stderr}")
        return done.stdout


def checkout() -> bytes:
    """The files of this checkout as an archive: all that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as files:
        for name in sorted(set(listed.stdout.split("\0")) - {""}):
            if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
                files.add(ROOT / name, arcname=name)
    return packed.getvalue()


def commit(name: str) -> bytes:
    """The files of a commit as an archive."""
    words = ["git", "archive", "--format=tar", name]
    return subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout


def documented(page: str, heading: str) -> list[str]:
    """The commands of the `console` blocks below a heading of a document."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = re.split(rf"^## {re.escape(heading)}$", text, flags=re.M)[1]
    section = re.split(r"^## ", section, flags=re.M)[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def _without_progress(text: str) -> str:
    """The lines of a build or of `up` that say something: those of pip's downloads and of waiting do not."""
    dull: Sequence[str] = (
        "Waiting",
        "Collecting",
        "Downloading",
        "━",
        "Obtaining",
        "transferring",
        "sha256:",
    )
    return "".join(f"{line}\n" for line in text.splitlines() if not any(word in line for word in dull))
