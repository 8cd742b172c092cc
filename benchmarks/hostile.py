"""How much memory one request, or eight at once, can make the web service take.

Usage: python benchmarks/hostile.py [--limit MB] [--only TEXT] [--single]

Starts the service on loopback, with a project whose version has the shipped weights, and sends what a hostile
or careless caller may send. Printed are the answer, its seconds, and the resident memory of the process that
answers: before, at its peak, and two seconds after. Exits with 1 if a peak is above the limit.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import psutil  # type: ignore[import-untyped]
import requests

from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.config.smart_tags import POINTS, add_smart_tags
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import VersionState
from ml_backend.store.weights import WeightStore
from model.pretrained import pretrained_version

AUTH = ("user", "password")
MB = 1 << 20
XML = add_smart_tags(default_config(["Bone"]))


@dataclass(frozen=True)
class Attack:
    """A request, sent `times` at once."""

    name: str
    path: str
    body: Callable[[], bytes]
    times: int = 1


def main() -> int:
    """Send everything and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=900, help="MB that the process may take")
    parser.add_argument("--only", default="", help="send only what has this text in its name")
    parser.add_argument("--single", action="store_true", help="send each once, where memory is scarce")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the service, too
    most = 0
    with serving() as (address, process):
        requests.post(f"{address}/predict", predict(png(500, 400, 1, 8)), auth=AUTH, timeout=120)
        print(f"{'request':58}{'answer':>10}{'s':>7}{'before':>8}{'peak':>7}{'after':>7}", flush=True)
        for each in ATTACKS:
            if options.only in each.name:
                attack = replace(each, times=1) if options.single else each
                most = max(most, measure(address, process, attack))
    print(f"Most: {most} MB; allowed: {options.limit} MB.")
    return int(most > options.limit)


@contextmanager
def serving() -> Iterator[tuple[str, psutil.Process]]:
    """The service's address, and the process that answers."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        prepare(Settings(model_dir=Path(folder)))
        environment = {
            **os.environ,
            "MODEL_DIR": folder,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "BASIC_AUTH_USER": AUTH[0],
            "BASIC_AUTH_PASS": AUTH[1],
            "LABEL_STUDIO_URL": "http://127.0.0.1:9",
            "LABEL_STUDIO_API_KEY": "0" * 40,
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "ml_backend", "serve"]
        server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}"
            wait(address)
            children = psutil.Process(server.pid).children()
            yield address, next(one for one in children if "redis" not in one.name())
        finally:
            server.terminate()
            server.wait(timeout=30)


def prepare(settings: Settings) -> None:
    """A project with a published version of the shipped weights."""
    database = Database(settings.effective_database_url)
    store = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    weights = store.put(pretrained_version())
    with database.write() as session:
        projects.note(session, 1, XML, "Hostile", seed=0)
        project = projects.ensure(session, 1, seed=0)
        version = versions.create(
            session, project, round=1, state=VersionState.SCORING, labels=["Bone"], weights_hash=weights
        )
        versions.publish(session, version)
    database.close()


def wait(address: str) -> None:
    """Until the service answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            requests.get(f"{address}/health", timeout=5)
            return
        time.sleep(0.2)
    raise SystemExit("The service did not start.")


def measure(address: str, process: psutil.Process, attack: Attack) -> int:
    """Send one attack, print its line, and return the peak in MB."""
    body = attack.body()
    status = Path(f"/proc/{process.pid}/status")
    before = process.memory_info().rss // MB
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
    began = time.monotonic()

    def send(_number: int) -> str:
        try:
            answer = requests.post(f"{address}{attack.path}", body, auth=AUTH, timeout=300)
        except requests.RequestException as error:
            return type(error).__name__
        return str(answer.status_code)

    with ThreadPoolExecutor(attack.times) as pool:
        answers = sorted(set(pool.map(send, range(attack.times))))
    seconds = time.monotonic() - began
    lines = status.read_text().splitlines()
    peak = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
    time.sleep(2)
    after = process.memory_info().rss // MB
    what = f"{attack.name} ({len(body) / MB:.1f} MB)" + (f" × {attack.times}" if attack.times > 1 else "")
    print(f"{what:58}{'/'.join(answers):>10}{seconds:7.1f}{before:8}{peak:7}{after:7}", flush=True)
    return peak


def event(items: bytes, size: int) -> bytes:
    """An event whose tasks are `items`, as often as they fit."""
    head = b'{"action":"TASKS_CREATED","tasks":['
    tail = b'{"id":1}],"project":{"id":1,"title":"H","label_config":' + json.dumps(XML).encode() + b"}}"
    return head + items * (size // len(items)) + tail


def call(items: bytes, size: int, context: bool = False) -> bytes:
    """A call of /predict whose tasks are `items`, as often as they fit."""
    params = b'{"context":{"result":[{"id":"p"}]}}' if context else b"{}"
    return b'{"tasks":[' + items * (size // len(items)) + b'{}],"project":"1.1","params":' + params + b"}"


def task(data: str) -> bytes:
    """A task with something nested in its data, that is one task in all."""
    return b'{"tasks":[{"id":1,"data":{"x":' + data.encode() + b'}}],"project":"1.1"}'


def png(height: int, width: int, channels: int, bits: int) -> bytes:
    """A small file with many pixels."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    pixels = np.zeros(shape, np.uint8 if bits == 8 else np.uint16)
    file: bytes = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return file


def predict(image: bytes, context: bool = False) -> bytes:
    """A call of /predict with one image in the task itself."""
    address = "data:image/png;base64," + base64.b64encode(image).decode()
    point = {
        "id": "p",
        "from_name": POINTS,
        "to_name": "image",
        "type": "keypointlabels",
        "is_positive": True,
        "original_width": 5600,
        "original_height": 5600,
        "value": {"x": 50, "y": 50, "width": 0.2, "keypointlabels": ["Bone"]},
    }
    params = {"context": {"result": [point]}} if context else {}
    tasks = [{"id": 1, "data": {"image": address}}]
    return json.dumps({"tasks": tasks, "project": "1.1", "params": params}).encode()


ATTACKS = (
    Attack("/webhook, tasks {“id”:1},", "/webhook", lambda: event(b'{"id":1},', 32 * MB)),
    Attack("/webhook, tasks {“id”:1},", "/webhook", lambda: event(b'{"id":1},', 32 * MB), 3),
    Attack("/webhook, just below 1 MiB", "/webhook", lambda: event(b'{"id":1},', MB - 2000), 8),
    Attack("/webhook, one text", "/webhook", lambda: event(b'{"x":"' + b"a" * 200 * MB + b'"},', 201 * MB)),
    Attack("/webhook, nested lists", "/webhook", lambda: b'{"action":' + b"[" * 32 * MB),
    Attack("/setup, one text", "/setup", lambda: b'{"project":1,"schema":"' + b"<" * 64 * MB + b'"}'),
    Attack("/predict, tasks {},", "/predict", lambda: call(b"{},", 32 * MB)),
    Attack("/predict, tasks {},", "/predict", lambda: call(b"{},", 32 * MB), 3),
    Attack("/predict, tasks {},", "/predict", lambda: call(b"{},", 3 * MB), 8),
    Attack("/predict, prompts on tasks {},", "/predict", lambda: call(b"{},", 32 * MB, context=True), 3),
    Attack("/predict, data [{},…", "/predict", lambda: task("[" + "{}," * (10 * MB) + "{}]"), 3),
    Attack("/predict, data {“a…” : {}}", "/predict", lambda: task("{" + '"a":{},' * (4 * MB) + '"b":1}')),
    Attack("/predict, 60 MB image in the task", "/predict", lambda: predict(b"x" * 60 * MB), 3),
    Attack("/predict, 4000×5000, 16-bit grey", "/predict", lambda: predict(png(5000, 4000, 1, 16)), 8),
    Attack("/predict, 10 000×9 999, RGBA 8 bits", "/predict", lambda: predict(png(9999, 10000, 4, 8)), 3),
    Attack("/predict, 10 000×9 999, RGBA 16 bits", "/predict", lambda: predict(png(9999, 10000, 4, 16))),
    Attack("/predict, 5 600×5 600, RGBA 16 bits", "/predict", lambda: predict(png(5600, 5600, 4, 16)), 3),
    Attack("/predict, prompt on 5 600×5 600", "/predict", lambda: predict(png(5600, 5600, 1, 8), True), 8),
)

if __name__ == "__main__":
    sys.exit(main())
