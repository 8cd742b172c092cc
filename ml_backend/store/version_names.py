"""Readable names of versions, and names of predictions that are kept for open pages."""

from __future__ import annotations

import hashlib
import re
from datetime import date

_ADJECTIVES = """
    able agile amber ample apt bold brave bright brisk calm candid clear clever cosy crisp daring
    deft eager early even fair fast fine firm fond frank free fresh gentle glad golden good grand
    green happy hardy honest humble jolly just keen kind light lively loyal lucid lucky mellow merry
    mild modest neat nimble noble patient plain polite prime proud quick quiet
"""
_ANIMALS = """
    adder albatross badger bat bear beaver bison boar buck camel cat cod condor crane crow deer
    dingo dolphin dove duck eagle egret eland elk falcon ferret finch fox frog gecko goat goose gull
    hare hawk heron horse ibex ibis jackal jay kite koala lark lemur lion lynx magpie marten mole
    moose newt osprey otter owl panda pike puffin quail rabbit raven robin seal swan
"""
CALIBRATION = "confidence_calibration"
"""Key in a version's metrics of the calibration from confidence to R-DSC (`model.quality`). The key
`calibration`, learned on the consistency score alone, is no longer read."""

LABEL_DSC = "per_label"
"""Key in a version's metrics of the validation Dice by label."""
LABEL_IMAGES = "label_images"
"""Key in a version's metrics of the number of validation images by label that contain it."""
IMAGE_DSC = "image_dsc"
"""Key in a version's metrics of the validation Dice of each image: a list of {"task": id, "dsc": {label: Dice
in [0, 1]}}, with the labels that occur in it. The intervals and the comparison of two versions need it."""

ADJECTIVES = tuple(_ADJECTIVES.split())
ANIMALS = tuple(_ANIMALS.split())


def version_name(project_id: int, round: int, seed: int) -> str:
    """Name of a project's version, such as `p3-r002-brave-otter`.

    Project and round make it unique; round 0 is the order before the first training. The same arguments
    always give the same name.
    """
    digest = hashlib.sha256(f"{project_id}/{round}/{seed}".encode()).digest()
    adjective = ADJECTIVES[digest[0] % len(ADJECTIVES)]
    animal = ANIMALS[digest[1] % len(ANIMALS)]
    return f"p{project_id}-r{round:03d}-{adjective}-{animal}"


def is_version_name(name: str, project_id: int) -> bool:
    """Whether this is the name of a version of the project, known to the database or not."""
    found = re.fullmatch(rf"p{project_id}-r\d{{3,}}-([a-z]+)-([a-z]+)", name)
    return found is not None and found[1] in ADJECTIVES and found[2] in ANIMALS


def open_name(project_id: int, day: date) -> str:
    """Version name of predictions kept from `day` on for pages that show them, such as `p3-open-2026-11-23`.

    They do not affect the order. The day in the name tells when they may be deleted, so it needs no record.
    """
    return f"{_open_prefix(project_id)}{day.isoformat()}"


def is_open_name(name: str | None, project_id: int) -> bool:
    """Whether this is a name of predictions kept for open pages of the project."""
    return name is not None and name.startswith(_open_prefix(project_id))


def _open_prefix(project_id: int) -> str:
    return f"p{project_id}-open-"
