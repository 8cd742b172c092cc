"""Every setting of the service, read from the environment once, at the edge, and passed on from there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ml_backend.label_studio.images.hosts import ImageHosts
from model.strategies import NAMES, StrategyError
from model.strategies import parse as parse_strategy

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]

SHIPPED_WEIGHTS = "hand-bones"
"""Name of the weights that come with the package."""

Rule = Literal["latest", "majority", "all"]
"""Which annotations of a task count, and how several are united; see `ml_backend.learn.labels`."""

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"HAND_SIZE": "assignment_size"})
"""Former variables that are still read, and the settings that they give."""


def former_names(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each variable of `environment` that is still read under its former name."""
    return [
        f"{name} is now called {setting.upper()}: rename it; the former name still works."
        for name, setting in FORMER_NAMES.items()
        if environment.get(name)
    ]


class FormerNames(PydanticBaseSettingsSource):
    """The settings that variables of a former name give; the present name counts before them."""

    def __call__(self) -> dict[str, Any]:
        """Return {setting: value}, and warn about each former name, once in a process."""
        for sentence in former_names(os.environ):
            warnings.warn(sentence, FutureWarning, stacklevel=2)
        return {setting: os.environ[name] for name, setting in FORMER_NAMES.items() if os.environ.get(name)}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Nothing: `__call__` gives all values."""
        return None, field_name, False


class Settings(BaseSettings):
    """The service's settings; each field is read from the environment variable of its name in capitals.

    An empty variable counts as absent, as compose files pass unset variables on as empty strings.
    `pydantic.ValidationError` names the variable and what is wrong with it.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, the environment, and last the environment's former names."""
        return (*sources, *named.values(), FormerNames(settings_cls))

    label_studio_url: str = Field(
        "http://localhost:8080", description="Address of Label Studio as seen from here."
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""), description="Personal access token or legacy token of a Label Studio user."
    )
    http_timeout: PositiveSeconds = Field(
        30.0, description="Seconds that one request to Label Studio may take."
    )

    host: str = Field("0.0.0.0", description="Address on which the service listens.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9090, description="Port on which the service listens."
    )
    workers: Positive = Field(1, description="Server processes.")
    threads: Positive = Field(8, description="Threads of one server process.")
    basic_auth_user: str = Field("", description="User name asked of callers; empty asks for none.")
    basic_auth_pass: SecretStr = Field(SecretStr(""), description="Password asked of callers.")
    max_body_bytes: Positive = Field(256 * 2**20, description="Largest request body that is read.")
    predict_seconds: PositiveSeconds = Field(60.0, description="Seconds that one call of /predict may take.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")

    model_dir: Path = Field(
        Path(".dsal"), description="Folder of all local data: database, weights, caches, Redis."
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite in MODEL_DIR.")
    redis_url: str = Field("", description="Redis URL; empty starts an embedded Redis in MODEL_DIR.")
    store_url: str = Field("", description="fsspec URL of the weights; empty means a folder in MODEL_DIR.")

    device: str = Field("auto", description="Torch device: auto, cpu, cuda, cuda:1.")
    engine: Literal["auto", "torch", "openvino"] = Field("auto", description="Engine of inference.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Precision of training and inference."
    )
    loaded_versions: Positive = Field(
        2, description="Versions that one server process holds in memory to answer /predict."
    )
    seed: int = Field(0, description="Seed of the first ordering, of the split, and of training.")
    network_width: Positive = Field(32, description="Channels of the network's first level.")
    image_size: Positive = Field(
        600, description="Longer side, in pixels, at which the network sees an image."
    )
    batch_size: Positive = Field(2, description="Images of one training step.")
    initial_weights: str | None = Field(
        SHIPPED_WEIGHTS,
        description="Weights that a new project begins with, so that its first tasks open with masks: "
        "`hand-bones`, which are shipped, for projects with a label whose name says bone; the folder of a "
        "version, for all projects; `none` for a random first order.",
    )
    train_from: Literal["previous", "scratch"] = Field(
        "previous",
        description="Where a training starts: from the published version's weights, or from scratch.",
    )
    train_steps: Positive | None = Field(None, description="Most steps of one training.")
    train_seconds: PositiveSeconds | None = Field(600.0, description="Most seconds of one training.")
    annotations: Rule = Field(
        "latest",
        description="Of a task's several annotations counts the one changed `latest`, the `majority` of "
        "the annotators pixel by pixel, or `all` as examples of their own.",
    )
    validation_fraction: Fraction = Field(0.2, description="Share of the labelled tasks kept for validation.")
    pseudo_labels: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        0.0,
        description="Unlabelled images that join a training with the network's own masks, for each labelled "
        "training image; 0 for none.",
    )
    loss_lower: Fraction = Field(0.1, description="Weight of the lower classifier's loss, equation (2).")
    loss_middle: Fraction = Field(0.3, description="Weight of the middle classifier's loss, equation (2).")
    loss_final: Fraction = Field(0.6, description="Weight of the final classifier's loss, equation (2).")

    strategy: str = Field(
        "consistency",
        description="Query strategy: which images are labelled next; docs/strategies.md lists them.",
    )
    query_size: Positive = Field(
        20,
        description="Images at the top of the list that a strategy for whole batches, such as "
        "`consistency+clusters`, chooses together.",
    )
    retrain_every: Positive = Field(10, description="New or changed annotations that start a training.")
    quiet_seconds: PositiveSeconds = Field(
        120.0, description="Seconds after the last change that start a training."
    )
    publish_margin: Fraction = Field(
        0.02, description="Validation Dice a new version may lose and still be published."
    )
    assignment_size: Positive = Field(
        10, description="Tasks assigned to each of several annotators who share a project."
    )
    score_chunk: Positive = Field(20, description="Tasks scored by one job.")
    keep_versions: Positive = Field(
        5, description="Weights kept for each project besides the published ones."
    )

    image_hosts: str = Field(
        "", description="Hosts and networks that images may come from, with commas; empty means any host."
    )
    reconcile_seconds: Annotated[float, Field(ge=0.0)] = Field(
        300.0, description="Seconds from one comparison with Label Studio to the next; 0 makes none."
    )

    max_image_bytes: Positive = Field(64 * 2**20, description="Largest image file that is fetched.")
    # Pillow itself refuses more.
    max_image_pixels: Annotated[int, Field(gt=0, le=178_956_970)] = Field(
        100_000_000, description="Largest image that is decoded, in pixels."
    )
    cache_bytes: Positive = Field(4 * 2**30, description="Size of the image cache.")
    min_free_bytes: Positive = Field(
        2**30, description="Free space on the disk of MODEL_DIR below which dsal doctor finds a fault."
    )

    @field_validator("model_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator("initial_weights")
    @classmethod
    def _initial_weights(cls, value: str | None) -> str | None:
        if value is None or value.lower() == "none":
            return None
        if value != SHIPPED_WEIGHTS and not Path(value).expanduser().is_dir():
            raise ValueError(f"{SHIPPED_WEIGHTS}, none or the folder of a version")
        return value if value == SHIPPED_WEIGHTS else str(Path(value).expanduser().resolve())

    @field_validator("strategy")
    @classmethod
    def _strategy(cls, value: str) -> str:
        try:
            return parse_strategy(value).name
        except StrategyError as error:
            raise ValueError(
                f"one of {', '.join(NAMES)}, some with +power or +clusters (docs/strategies.md)"
            ) from error

    @field_validator("image_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        ImageHosts.parse(value)
        return value

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} and separator else value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.train_steps is None and self.train_seconds is None:
            raise ValueError("Set TRAIN_STEPS or TRAIN_SECONDS, so that a training ends.")
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("Set BASIC_AUTH_USER and BASIC_AUTH_PASS together, or neither.")
        return self

    def for_project(self, knobs: Mapping[str, Any]) -> Settings:
        """The settings of one project: a knob of its labeling config counts before the setting of its name.

        Args:
            knobs: `Knobs.overrides` of the labeling config.
        """
        return self.model_copy(update=dict(knobs))

    @property
    def effective_database_url(self) -> str:
        """DATABASE_URL, or SQLite in MODEL_DIR."""
        return self.database_url or f"sqlite:///{self.model_dir / 'dsal.sqlite3'}"

    @property
    def effective_store_url(self) -> str:
        """STORE_URL, or a folder in MODEL_DIR."""
        return self.store_url or f"file://{self.model_dir / 'store'}"

    @property
    def redis_dir(self) -> Path:
        """Where the embedded Redis keeps its socket and its append-only file."""
        return self.model_dir / "redis"

    @property
    def weights_cache_dir(self) -> Path:
        """Where versions fetched from the store lie unpacked."""
        return self.model_dir / "cache" / "weights"

    @property
    def image_cache_dir(self) -> Path:
        """Where fetched images lie."""
        return self.model_dir / "cache" / "images"

    @property
    def checkpoint_dir(self) -> Path:
        """Where unfinished trainings keep their checkpoints."""
        return self.model_dir / "checkpoints"

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """User and password that callers must send, or None where none is asked."""
        return (
            (self.basic_auth_user, self.basic_auth_pass.get_secret_value()) if self.basic_auth_user else None
        )
