import os
import subprocess
import sys
from dataclasses import replace

from ml_backend.store import liveness
from ml_backend.store.liveness import ProcessId

WHO = "from ml_backend.store.liveness import ProcessId; print(ProcessId.current(), flush=True)"


def test_this_process_is_alive_by_its_own_id() -> None:
    me = ProcessId.current()
    assert ProcessId.parse(str(me)) == me
    assert liveness.alive(str(me)) is True


def test_a_process_that_ended_is_dead() -> None:
    ended = subprocess.run([sys.executable, "-c", WHO], capture_output=True, text=True, check=True)
    assert liveness.alive(ended.stdout.strip()) is False


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", WHO], stdout=subprocess.PIPE, text=True) as zombie:
        assert zombie.stdout is not None
        name = zombie.stdout.read().strip()
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert liveness.alive(name) is False


def test_a_reused_pid_is_another_process() -> None:
    me = ProcessId.current()
    assert replace(me, started=me.started - 1).alive() is False


def test_processes_on_other_machines_and_containers_are_unknown() -> None:
    me = ProcessId.current()
    assert replace(me, host="elsewhere").alive() is None
    assert replace(me, namespace="1").alive() is None
    assert liveness.alive("anything else") is None
    assert liveness.alive("a_b_c_d") is None
