import asyncio
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import requests

from ml_backend.learn.trigger import after_training
from ml_backend.queue.kinds import TRAIN
from ml_backend.settings import Settings
from ml_backend.store import events, runs
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, TrainingRun
from ml_backend.web.app import Services

Result = TypeVar("Result")

SERVE = """
import sys
from ml_backend.web.gunicorn import serve
from ml_backend.settings import Settings
serve(Settings(model_dir=sys.argv[1], redis_url=sys.argv[2], port=int(sys.argv[3]), workers=int(sys.argv[4]),
               host="127.0.0.1", basic_auth_user="u", basic_auth_pass="p"))
"""
BUSY = """
import os, numpy
os.nice(10)
square = numpy.ones((1500, 1500), numpy.float32)
print("busy", flush=True)
while True:
    square @ square
"""
AUTH = "Authorization: Basic " + base64.b64encode(b"u:p").decode()
PROJECT = {"id": 3, "title": "Hands", "label_config": "<View>" + "<Label/>" * 100 + "</View>"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(settings: Settings, workers: int = 1) -> Iterator[int]:
    port = _free_port()
    command = [
        sys.executable,
        "-c",
        SERVE,
        str(settings.model_dir),
        settings.redis_url,
        str(port),
        str(workers),
    ]
    process = subprocess.Popen(command)
    try:
        for _ in range(600):
            try:
                if requests.get(f"http://127.0.0.1:{port}/health", timeout=1).ok:
                    break
            except requests.RequestException:
                assert process.poll() is None, "The service ended; its output is above."
                time.sleep(0.1)
        else:
            pytest.fail(f"The service does not answer on port {port}.")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@contextmanager
def saturated_cores() -> Iterator[None]:
    """Keep every core busy, as a training does, at the niceness of the worker's children."""
    threads = {"OPENBLAS_NUM_THREADS": str(os.cpu_count()), "OMP_NUM_THREADS": str(os.cpu_count())}
    environment = {**os.environ, **threads}
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, env=environment) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        try:
            yield
        finally:
            busy.kill()


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in another thread: an open browser of other tests keeps an event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def timed(port: int, method: str, path: str, body: bytes = b"", at: float = 0.0) -> float:
    """Seconds of one request, sent at time `at` over a new connection, as Label Studio does."""
    await asyncio.sleep(at - time.perf_counter())
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: x",
        AUTH,
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return time.perf_counter() - began


def annotation(number: int) -> bytes:
    """An annotation event with a mask of 42 000 integers, about 150 kB."""
    region = {"type": "brushlabels", "value": {"format": "rle", "rle": [number % 256, 17, 255] * 14_000}}
    made = {"id": number, "result": [region], "was_cancelled": False}
    event = {"action": "ANNOTATION_CREATED", "project": PROJECT, "annotation": made, "task": {"id": number}}
    return json.dumps(event).encode()


async def burst(port: int, bodies: list[bytes]) -> tuple[list[float], list[float]]:
    """Seconds of the /webhook requests, sent over one second, and of /health requests between them."""
    start = time.perf_counter() + 0.1
    step = 1 / len(bodies)
    events = [
        timed(port, "POST", "/webhook", body, start + number * step) for number, body in enumerate(bodies)
    ]
    health = [
        timed(port, "GET", "/health", at=start + number * 4 * step) for number in range(len(bodies) // 4)
    ]
    times = await asyncio.gather(*events, *health)
    return list(times[: len(events)]), list(times[len(events) :])


@pytest.mark.slow
def test_two_hundred_events_in_a_second_during_a_training(services: Services) -> None:
    bodies = [annotation(number) for number in range(200)]
    with serving(services.settings) as port:
        wait_for(timed(port, "POST", "/webhook", annotation(1000)))
        while services.queues.depths()[TRAIN] == 0:
            time.sleep(0.05)
        with services.database.write() as session:
            run = runs.begin(session, 3, ProcessId("elsewhere", "1", 1, 1))
            assert run is not None
        services.queues.redis.flushall()
        with saturated_cores():
            answered = wait_for(burst(port, bodies))
    assert [len(times) for times in answered] == [200, 50]
    with services.database.read() as session:
        assert events.pending(session, 3).changes == 200
    assert services.queues.depths()[TRAIN] == 0
    with services.database.write() as session:
        runs.finish(session, session.get_one(TrainingRun, run.id), RunState.FINISHED)
    after_training(services.database, services.queues, services.settings, 3)
    assert services.queues.depths()[TRAIN] == 1


@pytest.mark.slow
def test_setup_answers_in_time_while_the_cores_are_saturated(services: Services) -> None:
    body = json.dumps({"project": "3.1", "schema": PROJECT["label_config"]}).encode()
    with serving(services.settings) as port, saturated_cores():
        assert max(wait_for(timed(port, "POST", "/setup", body)) for _ in range(20)) < 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_count_the_requests_of_all_processes(services: Services, workers: int) -> None:
    body = json.dumps({"action": "PROJECT_UPDATED", "project": PROJECT}).encode()
    with serving(services.settings, workers) as port:
        for _ in range(20):
            wait_for(timed(port, "POST", "/webhook", body))
        page = requests.get(f"http://127.0.0.1:{port}/metrics", auth=("u", "p"), timeout=10)
    counted = re.search(r'dsal_events_total\{action="PROJECT_UPDATED"\} (\d+)', page.text)
    assert counted is not None
    assert counted[1] == "20"
    assert 'dsal_jobs_waiting{queue="dsal-quick"} 1.0' in page.text
    assert 'dsal_request_seconds_count{route="/webhook",status="200"} 20.0' in page.text
