"""An installation without faults, as a user sees it on the terminal, and the command's exit status."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from ml_backend.doctor import State
from tests.doctor.conftest import Case

ORDER = [
    *("settings", "Label Studio", "token", "projects"),
    *("project", "ML backend", "call back", "address protection", "host name", "webhook"),
    *("labeling config", "prompts", "view", "sampling", "model version", "masks"),
    *("Redis", "workers", "queues", "database", "store", "weights", "device", "engine", "disk"),
]


def test_a_healthy_set_up_has_a_tick_on_every_line_and_status_0(case: Case) -> None:
    seen = case.service.command("doctor", "--project", str(case.project))
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert seen.stderr == ""
    lines = [line for line in seen.stdout.splitlines() if line.startswith(("✓", "!", "✗", "–"))]
    assert [line[1:20].strip() for line in lines] == ORDER
    assert {line[0] for line in lines} == {"✓"}
    assert "its call arrived here" in seen.stdout
    assert f"Project {case.project}" in seen.stdout
    assert seen.stdout.rstrip().endswith("No faults, 0 warnings.")


def test_a_fault_is_status_1_in_json_as_well(case: Case, empty: Path) -> None:
    wrong_settings = {"LOG_LEVEL": "LOUD", "BASIC_AUTH_USER": ""}
    seen = case.service.command("doctor", "--json", MODEL_DIR=str(empty), **wrong_settings)
    assert seen.returncode == 1, seen.stderr
    assert seen.stderr == ""
    told = json.loads(seen.stdout)
    assert told["healthy"] is False
    wrong = [one for one in told["findings"] if one["name"] == "settings"]
    assert [one["state"] for one in wrong] == ["fault", "fault"]
    assert "LOG_LEVEL" in wrong[0]["sentence"]
    assert "BASIC_AUTH_USER and BASIC_AUTH_PASS" in wrong[1]["sentence"]
    assert all(one["cure"] for one in told["findings"] if one["state"] == "fault")


def test_wrong_use_is_status_2(case: Case) -> None:
    seen = case.service.command("doctor", "--project", "hands")
    assert seen.returncode == 2
    assert "--project" in seen.stderr


def test_a_check_changes_nothing(case: Case) -> None:
    client, number = case.client, case.project

    def state() -> str:
        backends = client.ml_backends(number)
        for each in backends:
            # The time of the call that Label Studio makes for this listing.
            each.pop("updated_at")
        parts = [client.project(number), client.webhooks(number), client.views(number), backends]
        return json.dumps(parts, sort_keys=True)

    before = state()
    assert case.diagnose().healthy
    assert state() == before


def test_all_known_projects_are_checked(case: Case, spoilt: Case) -> None:
    spoilt.client.delete_webhook(spoilt.webhook)
    hooks = {finding.project: finding.state for finding in case.diagnose_all().named("webhook")}
    assert hooks[case.project] is State.OK
    assert hooks[spoilt.project] is State.FAULT


def test_a_worker_on_another_machine_is_healthy_if_it_shares_all_three_stores(
    case: Case, empty: Path
) -> None:
    ours = case.settings()
    diagnose = partial(
        case.diagnose,
        model_dir=empty,
        redis_url=f"unix://{ours.redis_dir / 'redis.sock'}",
        database_url=ours.effective_database_url,
    )
    found = diagnose(port=9, store_url=ours.effective_store_url)
    assert found.healthy, found.all
    # The random order has no weights: give the published version some that only this machine's store has.
    version = case.published()
    assert version is not None
    key = case.service.weights.put(_weights(empty))
    _set_weights(case, key)
    try:
        assert case.diagnose().state("weights") is State.OK
        elsewhere = diagnose()
        assert "STORE_URL" in elsewhere.fault("weights", version.name).cure
    finally:
        _set_weights(case, None)
        case.service.weights.delete(key)


def _weights(folder: Path) -> Path:
    made = folder / "version"
    made.mkdir()
    shutil.copy(__file__, made / "weights")
    return made


def _set_weights(case: Case, key: str | None) -> None:
    version = case.published()
    assert version is not None
    with case.service.database.write() as session:
        session.merge(version).weights_hash = key
