"""The kinds of values that settings have, and in words what each must be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from ml_backend.label_studio.images.hosts import ImageHosts
from model.strategies import NAMES, StrategyError
from model.strategies import parse as parse_strategy

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(gt=0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]

SHIPPED_WEIGHTS = "hand-bones"
"""Name of the weights that come with the package."""

SHORTEST_SECRET = 32
"""Characters of DICOM_SECRET: whoever can guess it can test which image a pseudonym belongs to."""

Rule = Literal["latest", "majority", "all"]
"""Which annotations of a task count, and how several are merged; see `ml_backend.learn.labels`."""


def _absolute(value: Path) -> Path:
    return value.expanduser().resolve()


def _long(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(f"at least {SHORTEST_SECRET} characters")
    return value


def _weights(value: str | None) -> str | None:
    if value is None or value.lower() == "none":
        return None
    if value != SHIPPED_WEIGHTS and not Path(value).expanduser().is_dir():
        raise ValueError(f"{SHIPPED_WEIGHTS}, none or the folder of a version")
    return value if value == SHIPPED_WEIGHTS else str(Path(value).expanduser().resolve())


def _strategy(value: str) -> str:
    try:
        return parse_strategy(value).name
    except StrategyError as error:
        raise ValueError(
            f"one of {', '.join(NAMES)}, some with +power or +clusters (docs/strategies.md)"
        ) from error


def _hosts(value: str) -> str:
    ImageHosts.parse(value)
    return value


def _web_address(value: str) -> str:
    if value and not re.match(r"https?://[^/\s]+", value):
        raise ValueError("an http or https address")
    return value


def _secret_web_address(value: SecretStr) -> SecretStr:
    _web_address(value.get_secret_value())
    return value


def _with_driver(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} and separator else value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
LongSecret = Annotated[SecretStr, AfterValidator(_long)]
InitialWeights = Annotated[str | None, AfterValidator(_weights)]
StrategyName = Annotated[str, AfterValidator(_strategy)]
HostList = Annotated[str, AfterValidator(_hosts)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
SecretWebAddress = Annotated[SecretStr, AfterValidator(_secret_web_address)]
DatabaseUrl = Annotated[str, AfterValidator(_with_driver)]
