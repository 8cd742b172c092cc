"""Finding a version by the name that people know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml_backend.export.pictures import ExportError
from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.regions.tidying import Limits
from ml_backend.score.drawing import limits
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version
from ml_backend.store.weights import WeightStore
from model.weights import CARD_FILE, weights_digest

PUBLISHED = "published"


def find_version(database: Database, name: str, project_id: int | None = None) -> Version:
    """The version of a name, or the `published` one of a project, which may be left out if there is one only.

    Raises:
        ExportError: there is none, or it has no weights; the message lists those there are.
    """
    with database.read() as session:
        known = [one for one in versions.of_project(session, project_id) if one.weights_hash is not None]
        if name == PUBLISHED:
            found = [
                one
                for number in sorted({one.project_id for one in known})
                if (one := versions.published(session, number)) is not None and one.weights_hash is not None
            ]
        else:
            found = [one for one in known if one.name == name]
    if len(found) > 1:
        numbers = ", ".join(str(one.project_id) for one in found)
        raise ExportError(f"Projects {numbers} have a published version; give --project or a version's name.")
    if found:
        return found[0]
    where = "" if project_id is None else f" of project {project_id}"
    if not known:
        raise ExportError(f"No version{where} has weights yet; one has after the first training.")
    names = ", ".join(one.name for one in known[:10])
    raise ExportError(f"There is no version {name}{where} with weights; there are: {names}.")


@dataclass(frozen=True)
class Weights:
    """A version's files, and how its project draws masks with them.

    Attributes:
        folder: of the version.
        digest: of its weights.
        threshold: of the project; None: the most probable class of a pixel.
        limits: of the project; None for a version that is in no project.
    """

    folder: Path
    digest: str
    threshold: float | None = None
    limits: Limits | None = None


def find_weights(settings: Settings, name: str, project_id: int | None = None) -> Weights:
    """The files of a version: of a folder, or of the database, as `find_version` finds it.

    Raises:
        ExportError: there is none.
        WeightStoreError: the store cannot be read.
    """
    if (Path(name) / CARD_FILE).is_file():
        return Weights(Path(name), weights_digest(Path(name)))
    database = Database(settings.effective_database_url)
    version = find_version(database, name, project_id)
    assert version.weights_hash is not None
    with database.read() as session:
        owner = projects.get(session, version.project_id)
    store = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    folder = store.get(version.weights_hash)
    try:
        knobs = parse("" if owner is None else owner.label_config).knobs
    except LabelConfigError:
        return Weights(folder, version.weights_hash, None, limits(settings))
    own = limits(settings.for_project(knobs.overrides))
    return Weights(folder, version.weights_hash, knobs.threshold, own)
