"""All settings of the service, read from the environment once and passed on from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ml_backend.former_names import FormerNames
from ml_backend.label_studio.regions.canvas import DEFAULT_OVERLAP, Overlap
from ml_backend.label_studio.regions.components import MAX_COMPONENTS
from ml_backend.label_studio.regions.outlines import FEWEST_POINTS
from ml_backend.label_studio.regions.tidying import MOST_POINTS, MOST_REGIONS, SMALLEST
from ml_backend.setting_values import (
    SHIPPED_WEIGHTS,
    AbsolutePath,
    DatabaseUrl,
    Fraction,
    HostList,
    InitialWeights,
    LongSecret,
    Positive,
    PositiveSeconds,
    Rule,
    SecretWebAddress,
    StrategyName,
    WebAddress,
)
from model.strategies import DEFAULT


class Settings(BaseSettings):
    """The service's settings; each field is read from the environment variable of its name in capitals.

    An empty variable counts as unset, as Compose files pass unset variables on as empty strings.

    Raises:
        pydantic.ValidationError: a variable is invalid; the error names it and says what it must be.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then variables with former names."""
        return (*sources, *named.values(), FormerNames(settings_cls))

    label_studio_url: str = Field(
        "http://localhost:8080", description="Address at which this service reaches Label Studio."
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""), description="Personal access token or legacy token of a Label Studio user."
    )
    label_studio_public_url: WebAddress = Field(
        "",
        description="Address of Label Studio in people's browsers, for links to tasks; empty if it is "
        "LABEL_STUDIO_URL.",
    )
    http_timeout: PositiveSeconds = Field(
        30.0, description="Time limit of one request to Label Studio, in seconds."
    )

    host: str = Field(
        "",
        description="Address on which the service listens. Empty: all addresses (0.0.0.0) with "
        "BASIC_AUTH_USER and BASIC_AUTH_PASS, and without them 127.0.0.1, which only this machine reaches.",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9090, description="Port on which the service listens."
    )
    workers: Positive = Field(1, description="Server processes.")
    threads: Positive = Field(8, description="Threads per server process.")
    basic_auth_user: str = Field(
        "", description="User name that callers must send; empty for no authentication."
    )
    basic_auth_pass: SecretStr = Field(SecretStr(""), description="Password that callers must send.")
    max_body_bytes: Positive = Field(
        256 * 2**20,
        description="Largest call of /predict, in bytes. Label Studio sends all chosen tasks in one, each "
        "with its annotations and predictions: 15 kB a task with brush masks.",
    )
    max_webhook_bytes: Positive = Field(
        2**20,
        description="Bytes of an event after which no more tasks and annotations are taken from it: its "
        "project is compared with Label Studio instead.",
    )
    predict_seconds: PositiveSeconds = Field(60.0, description="Time limit of one /predict call, in seconds.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR."
    )

    model_dir: AbsolutePath = Field(
        Path(".dsal"), description="Folder for all local data: database, weights, caches, Redis."
    )
    database_url: DatabaseUrl = Field("", description="SQLAlchemy URL; empty means SQLite in MODEL_DIR.")
    redis_url: str = Field("", description="Redis URL; empty starts an embedded Redis in MODEL_DIR.")
    store_url: str = Field("", description="fsspec URL of the weights; empty means a folder in MODEL_DIR.")

    dicom_secret: LongSecret = Field(
        SecretStr(""),
        description="Secret from which the pseudonyms of DICOM images are made, 32 characters or more; empty "
        "means a file in MODEL_DIR.",
    )

    device: str = Field("auto", description="PyTorch device: auto, cpu, cuda, cuda:1.")
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="Inference engine: auto, torch or openvino."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Precision of training and inference: auto, fp32 or bf16."
    )
    loaded_versions: Positive = Field(
        2, description="Versions that one server process keeps in memory to answer /predict."
    )
    seed: int = Field(0, description="Seed of the first order, of the split and of training.")
    network_width: Positive = Field(32, description="Channels of the network's first level.")
    image_size: Positive = Field(600, description="Longer side of the network's input, in pixels.")
    batch_size: Positive = Field(2, description="Images per training step.")
    initial_weights: InitialWeights = Field(
        SHIPPED_WEIGHTS,
        description="Weights with which a new project starts, so that its first tasks open with masks: "
        "`hand-bones` (shipped), for projects with a label whose name contains bone; the folder of a "
        "version, for all projects; `none` for a random first order.",
    )
    train_from: Literal["previous", "scratch"] = Field(
        "previous",
        description="Where a training starts: from the published version's weights (previous), or from "
        "scratch.",
    )
    train_steps: Positive | None = Field(
        None, description="Maximum steps of a training, counted from the last new label on."
    )
    train_seconds: PositiveSeconds | None = Field(
        600.0,
        description="Maximum seconds of a training, counted from the last new label on; it pauses or ends "
        "earlier once it has converged.",
    )
    annotations: Rule = Field(
        "latest",
        description="Which of a task's several annotations count: the one changed `latest`, the pixelwise "
        "`majority` of the annotators, or `all`, each as an example of its own.",
    )
    validation: Literal["shown", "blind"] = Field(
        "shown",
        description="How the tasks that validate are shown: like all others (shown), or without a mask "
        "(blind), so that no version influences their labels.",
    )
    accepted_weight: Fraction = Field(
        1.0,
        description="Weight in training of masks that annotators accepted unchanged; drawn and edited masks "
        "have 1.",
    )
    overlap: Overlap = Field(
        DEFAULT_OVERLAP,
        description="Which of two overlapping regions with different labels gets the pixels: the one with "
        "fewer pixels (`smaller`), so that a label inside another is kept, or the `later` one in the "
        "annotation.",
    )
    validation_fraction: Fraction = Field(0.2, description="Share of the labelled tasks used for validation.")
    pseudo_labels: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = Field(
        0.0,
        description="Unlabelled images per labelled training image that are trained on with the network's "
        "own masks; 0 for none.",
    )
    loss_lower: Fraction = Field(0.1, description="Weight of the lower classifier's loss, equation (2).")
    loss_middle: Fraction = Field(0.3, description="Weight of the middle classifier's loss, equation (2).")
    loss_final: Fraction = Field(0.6, description="Weight of the final classifier's loss, equation (2).")
    loss_dice: Fraction | None = Field(
        None,
        description="Share of soft Dice in each classifier's loss; 0 is the paper's cross-entropy. Empty: "
        "0.8 with several labels, 0 with one.",
    )
    prompt_episodes: int = Field(
        2,
        ge=0,
        description="Simulated clicks and boxes from which each training step also learns; 0 if nobody "
        "corrects masks by clicks.",
    )

    strategy: StrategyName = Field(
        DEFAULT,
        description="Query strategy, which chooses the images to label next; docs/strategies.md lists them.",
    )
    query_size: Positive = Field(
        20,
        description="Images that the view shows as the next ones if the strategy does not follow the score, "
        "as the default one does not; it chooses them together.",
    )
    learn_from: Annotated[int, Field(ge=0)] = Field(
        2,
        description="Labels needed before each new one is trained on at once and the masks of the next "
        "tasks are drawn again; 0 learns only in rounds.",
    )
    candidates: Annotated[int, Field(ge=0)] = Field(
        500,
        description="Tasks that are scored before a new order is shown, half of them the next ones and half "
        "at random; the others keep their scores until then. 0: all.",
    )
    redraw_tasks: Annotated[int, Field(ge=0)] = Field(
        20,
        description="Number of next tasks whose masks are drawn again during a training; their order stays.",
    )
    retrain_every: Positive = Field(
        10, description="New or changed annotations after which a round ends with a new version and order."
    )
    quiet_seconds: PositiveSeconds = Field(
        120.0, description="Seconds after the last change after which a round with fewer changes ends."
    )
    turn_seconds: PositiveSeconds = Field(
        30.0, description="Seconds after which a training yields to one of another project that is waiting."
    )
    publish_margin: Fraction = Field(
        0.02, description="How much lower a new version's validation Dice may be for it to be published."
    )
    mask_floor: Fraction = Field(
        0.5,
        description="Estimated Dice below which a mask is not shown: its task opens empty, but keeps its "
        "score; 0 shows every mask.",
    )
    smallest_region: Fraction = Field(
        SMALLEST,
        description="Share of an image's pixels below which a part of a shown mask is left out, and a hole "
        "is filled.",
    )
    max_regions: Annotated[int, Field(gt=0, le=MAX_COMPONENTS)] = Field(
        MOST_REGIONS, description="Most regions of one label that a shown mask has."
    )
    max_points: Annotated[int, Field(ge=FEWEST_POINTS)] = Field(
        MOST_POINTS,
        description="Most points that the polygons or vectors of one label have together in a shown mask.",
    )
    examine_from: Annotated[int, Field(ge=0)] = Field(
        20,
        description="Labelled tasks from which on a worker with nothing else to do looks for labels that "
        "look wrong (at least 6); 0: only `dsal suspicious` does.",
    )
    assignment_size: Positive = Field(
        10, description="Tasks assigned to each annotator of a project that several annotators share."
    )
    score_chunk: Positive = Field(20, description="Tasks scored between two looks for other work.")
    score_threads: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Processor threads of a process that draws masks; 0 for all cores. With several workers "
        "on one machine: its cores divided by their number.",
    )
    keep_versions: Positive = Field(
        5, description="Versions per project whose weights are kept, besides the published ones."
    )

    notify_url: SecretWebAddress = Field(
        SecretStr(""),
        description="Address that gets a small JSON message, with a `text` as Slack reads it, when a version "
        "is published, a training fails, or it is time to stop; empty for none.",
    )

    image_hosts: HostList = Field(
        "",
        description="Comma-separated hosts and networks that images may come from; empty means any host.",
    )
    reconcile_seconds: Annotated[float, Field(ge=0.0)] = Field(
        300.0, description="Seconds between comparisons with Label Studio; 0 for none."
    )

    max_image_bytes: Positive = Field(64 * 2**20, description="Largest image file that is fetched, in bytes.")
    # Pillow itself refuses larger ones.
    max_image_pixels: Annotated[int, Field(gt=0, le=178_956_970)] = Field(
        100_000_000, description="Largest image that is decoded, in pixels."
    )
    cache_bytes: Positive = Field(4 * 2**30, description="Maximum size of the image cache, in bytes.")
    min_free_bytes: Positive = Field(
        2**30, description="Free bytes on the disk of MODEL_DIR below which dsal doctor reports a fault."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.train_steps is None and self.train_seconds is None:
            raise ValueError("Set TRAIN_STEPS or TRAIN_SECONDS, so that a training ends.")
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass.get_secret_value()):
            raise ValueError("Set BASIC_AUTH_USER and BASIC_AUTH_PASS together, or neither.")
        return self

    def for_project(self, knobs: Mapping[str, Any]) -> Settings:
        """The settings of one project: a knob of its labeling config overrides the setting of its name.

        Args:
            knobs: `Knobs.overrides` of the labeling config.
        """
        return self.model_copy(update=dict(knobs))

    @property
    def effective_host(self) -> str:
        """HOST; if it is empty, all addresses with a password, and this machine's own without."""
        return self.host or ("127.0.0.1" if self.basic_auth is None else "0.0.0.0")

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
        """Folder of the embedded Redis: its socket and its append-only file."""
        return self.model_dir / "redis"

    @property
    def weights_cache_dir(self) -> Path:
        """Folder of versions fetched from the store, unpacked."""
        return self.model_dir / "cache" / "weights"

    @property
    def image_cache_dir(self) -> Path:
        """Folder of fetched images."""
        return self.model_dir / "cache" / "images"

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of the checkpoints of unfinished trainings."""
        return self.model_dir / "checkpoints"

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        """User and password that callers must send; None if there is no authentication."""
        return (
            (self.basic_auth_user, self.basic_auth_pass.get_secret_value()) if self.basic_auth_user else None
        )
