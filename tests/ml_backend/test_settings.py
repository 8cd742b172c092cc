from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_backend.label_studio.config import parse
from ml_backend.settings import Settings


def test_defaults_keep_all_data_in_one_folder(tmp_path: Path) -> None:
    settings = Settings(model_dir=tmp_path)
    assert settings.effective_database_url == f"sqlite:///{tmp_path}/dsal.sqlite3"
    assert settings.effective_store_url == f"file://{tmp_path}/store"
    assert settings.redis_dir == tmp_path / "redis"
    assert (settings.port, settings.retrain_every, settings.basic_auth) == (9090, 10, None)


def test_environment_is_read_and_empty_variables_count_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRAIN_EVERY", "5")
    monkeypatch.setenv("QUIET_SECONDS", "")
    settings = Settings()
    assert (settings.retrain_every, settings.quiet_seconds) == (5, 120.0)


def test_a_knob_of_a_project_counts_before_the_setting_of_its_name() -> None:
    config = parse(
        '<View><Image name="i" value="$image"/><BrushLabels name="m" toName="i" model_annotations="all" '
        'model_overlap="later">'
        '<Label value="Bone"/></BrushLabels></View>'
    )
    settings = Settings(annotations="majority", strategy="random", overlap="smaller")
    of_project = settings.for_project(config.knobs.overrides)
    assert (of_project.annotations, of_project.strategy, of_project.overlap) == ("all", "random", "later")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_usual_addresses_of_postgresql_get_the_driver_we_install(scheme: str) -> None:
    url = Settings(database_url=f"{scheme}://u:p@db:5432/dsal").effective_database_url
    assert url == "postgresql+psycopg://u:p@db:5432/dsal"


def test_secrets_do_not_show() -> None:
    settings = Settings(label_studio_api_key="token-1", basic_auth_user="u", basic_auth_pass="word-1")
    assert "token-1" not in repr(settings)
    assert "word-1" not in repr(settings)
    assert settings.basic_auth == ("u", "word-1")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"basic_auth_user": "u"}, "BASIC_AUTH_PASS"),
        ({"train_steps": None, "train_seconds": None}, "TRAIN_STEPS"),
        ({"retrain_every": 0}, "retrain_every"),
        ({"engine": "abacus"}, "engine"),
        ({"image_hosts": "http://pacs:80"}, "image_hosts"),
        ({"validation_fraction": 1.5}, "validation_fraction"),
        ({"pseudo_labels": -1}, "pseudo_labels"),
        ({"pseudo_labels": "inf"}, "pseudo_labels"),
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Settings(**wrong)  # type: ignore[arg-type]
