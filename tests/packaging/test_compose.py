"""Static checks of docker-compose.yml and .env.example; test_compose_runs.py starts the services."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
import yaml
from compose_spec import PyOptions

from ml_backend.former_names import FORMER_NAMES
from ml_backend.settings import Settings
from tests.packaging import compose_file
from tests.packaging.compose_file import ROOT, MissingVariableError

PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy"}
SECRETS = {
    "POSTGRES_PASSWORD": "d0c5",
    "BASIC_AUTH_PASS": "e1f2",
    "LABEL_STUDIO_USERNAME": "first@example.com",
    "LABEL_STUDIO_PASSWORD": "a-password",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return compose_file.interpolated(SECRETS)


def test_compose_accepts_the_file(compose: dict[str, Any]) -> None:
    options = PyOptions()
    options.apply_merge = True
    # The validator does not know Docker's name for the host's address.
    text = yaml.safe_dump(compose).replace("host-gateway", "192.0.2.1")
    options.from_yaml(text).validate()


def test_all_servers_are_there(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"label-studio", "postgres", "redis", "backend", "worker"}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_missing_secret_is_refused_in_one_sentence(name: str) -> None:
    others = {key: value for key, value in SECRETS.items() if key != name}
    with pytest.raises(MissingVariableError, match=rf"^{name}: put .* into \.env"):
        compose_file.interpolated(others)


def test_nothing_secret_has_a_default() -> None:
    defaults = compose_file.variables()
    assert {name for name in defaults if re.search("PASS|TOKEN|KEY", name) and defaults[name]} == {
        # Not a secret: whether legacy tokens are allowed, and they are not.
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN"
    }


def test_every_service_has_a_healthcheck_and_is_restarted(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


def test_services_wait_for_what_they_need(compose: dict[str, Any]) -> None:
    services = compose["services"]
    waits = {name: set(service.get("depends_on", {})) for name, service in services.items()}
    assert waits["label-studio"] == {"postgres"}
    assert waits["backend"] == {"postgres", "redis"}
    assert waits["worker"] == {"postgres", "redis", "backend"}
    conditions = [wait for service in services.values() for wait in service.get("depends_on", {}).values()]
    assert all(wait == {"condition": "service_healthy"} for wait in conditions)


def test_all_persistent_data_is_in_a_volume(compose: dict[str, Any]) -> None:
    places = {
        name: {volume.split(":")[1] for volume in service.get("volumes", [])}
        for name, service in compose["services"].items()
    }
    assert "/label-studio/data" in places["label-studio"]
    assert "/var/lib/postgresql/data" in places["postgres"]
    assert "/data" in places["redis"]
    assert "/data" in places["backend"]
    assert places["worker"] == places["backend"]
    named = {
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert named == set(compose["volumes"])


def test_label_studio_makes_the_webhook(compose: dict[str, Any]) -> None:
    """Without a dot in the host, or to a private address, Label Studio would silently make no webhook."""
    assert compose["services"]["backend"]["networks"]["default"]["aliases"] == ["dsal.backend"]
    environment = compose["services"]["label-studio"]["environment"]
    assert environment["LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS"] == "false"
    assert "169.254.0.0/16" in environment["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"]


def test_only_this_machine_reaches_the_ports(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:8080:8080", "127.0.0.1:9090:9090"]


def test_backend_and_worker_share_image_and_settings(compose: dict[str, Any]) -> None:
    backend, worker = compose["services"]["backend"], compose["services"]["worker"]
    assert backend["image"] == worker["image"]
    listening = {"HOST", "PORT"}
    assert {k: v for k, v in backend["environment"].items() if k not in listening} == worker["environment"]


def test_the_services_reach_each_other_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = compose_file.interpolated({**SECRETS, "HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "pacs"})
    for name in ("label-studio", "backend", "worker"):
        environment = compose["services"][name]["environment"]
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, environment[variable])
        for host in ("label-studio:8080", "dsal.backend:9090", "pacs"):
            assert requests.utils.should_bypass_proxies(f"http://{host}/", None)
        assert not requests.utils.should_bypass_proxies("http://images.example.org/", None)


def test_every_setting_reaches_the_service() -> None:
    given = set(compose_file.raw()["services"]["backend"]["environment"]) - PROXIES
    assert given == {name.upper() for name in Settings.model_fields} | set(FORMER_NAMES)


def test_settings_from_the_file_are_those_of_the_code(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing optional is set, the service runs with the defaults of settings.py."""
    environment = compose["services"]["worker"]["environment"]
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    usual = json.loads(Settings().model_dump_json())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    here = json.loads(Settings().model_dump_json())
    differing = {name for name in usual if usual[name] != here[name]}
    fixed = {
        "label_studio_url",
        "label_studio_public_url",
        "basic_auth_user",
        "basic_auth_pass",
        "database_url",
        "redis_url",
        "model_dir",
    }
    assert differing == fixed


def example() -> dict[str, str]:
    """.env.example's variables with their values, including those that are commented out."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"(?:# )?([A-Z][A-Z0-9_]*)=(\S*)", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def test_env_example_names_every_variable() -> None:
    known = set(compose_file.variables()) | {name.upper() for name in Settings.model_fields}
    assert set(example()) == known - set(FORMER_NAMES)


def test_env_example_shows_the_defaults() -> None:
    from scripts.settings_table import default_of

    of_file = {name: default for name, default in compose_file.variables().items() if default is not None}
    of_code = {name.upper(): default_of(name) for name in Settings.model_fields}
    assert example() == {name: {**of_code, **of_file}.get(name, "") for name in example()}


def test_env_example_asks_for_the_secrets_first() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    active = [line for line in lines if re.match("[A-Z]", line)]
    assert {line.rstrip("=") for line in active[:4]} == set(SECRETS) == set(compose_file.required())
