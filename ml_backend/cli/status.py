"""The command `status`: what the service knows of each project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ml_backend.cli.console import counted, listing, output, print_listing, print_points
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ml_backend.label_studio.config import LabelConfig
    from ml_backend.store.models import Project, TrainingRun, Version

HELP_VERSIONS = 3
"""Number of latest versions whose help to annotators `dsal status` states."""
LEAST_AGREED = 5
"""How many of the tasks with the lowest annotator agreement `dsal status` lists."""


def status() -> None:
    """Show each project's versions, its last training and its problems, and the jobs in the queues.

    For each project: the ten latest versions with state, labels, validation DSC and seconds; the changes
    since the last training; agreement between annotators of the same task; on how many tasks masks are
    shown, how good they are, and the validation DSC of each label; images that could not be read. Then the
    waiting and failed jobs.

    Example: `dsal status`
    """
    from ml_backend.queue.clients import connect_redis
    from ml_backend.queue.queues import JobQueues
    from ml_backend.store import events, projects, versions
    from ml_backend.store.database import Database

    settings = Settings()
    database = Database(settings.effective_database_url)
    console = output()
    with database.read() as session:
        for project in projects.all_projects(session):
            numbers = ("labels", "validation DSC", "train", "score", "publish")
            table = listing("version", "state", *numbers, right=numbers)
            listed = versions.of_project(session, project.id)
            for version in listed[:10]:
                table.add_row(
                    version.name,
                    version.state.value,
                    _label_count(version),
                    _validation(version),
                    f"{version.seconds_training:.0f} s",
                    f"{version.seconds_scoring:.0f} s",
                    f"{version.seconds_publishing:.1f} s",
                )
            print_listing(table, f"Project {project.id} “{project.title or ''}”")
            print_points(
                [
                    f"changes since the last training: {events.pending(session, project.id).changes}",
                    *_remarks(session, project, listed),
                ]
            )
            console.print()
    queues = JobQueues(connect_redis(settings))
    waiting = ", ".join(f"{name} {depth}" for name, depth in queues.depths().items())
    failed = ", ".join(f"{name} {count}" for name, count in queues.failed().items() if count)
    console.print(f"Waiting jobs: {waiting}" + (f"; failed: {failed}" if failed else ""), soft_wrap=True)
    for one in queues.waiting():
        times = "once" if one.failures == 1 else f"{one.failures} times in a row"
        moment = one.until.astimezone().strftime("%H:%M:%S")
        console.print(
            f"{one.name} failed {times} and is tried again at {moment}: {one.reason}",
            markup=False,
            soft_wrap=True,
        )


def _label_count(version: Version) -> str:
    """Number of labels that the version was trained on, and of pseudo-labels if there were any."""
    pseudo = version.metrics.get("pseudo_labels")
    return f"{version.labels_used} + {pseudo} pseudo" if pseudo else str(version.labels_used)


def _validation(version: Version) -> str:
    """Mean validation DSC and the number of images, or that they are too few."""
    from model.quality import MIN_IMAGES

    dsc, images = version.metrics.get("validation_dsc"), version.metrics.get("validation_images", 0)
    if dsc is None:
        return "–"
    return f"{dsc:.3f} ({images})" if images >= MIN_IMAGES else f"too few to tell ({images})"


def _remarks(session: Session, project: Project, listed: Sequence[Version]) -> Iterator[str]:
    """Problems of a project, its last training, agreement between annotators, order and mask quality."""
    from ml_backend.label_studio.config import LabelConfigError, parse
    from ml_backend.learn.problems import summed_up
    from ml_backend.score.strategy import order_of
    from ml_backend.store import runs, scores
    from ml_backend.store.label_figures import label_figures, sentences
    from ml_backend.store.models import VersionState

    try:
        config = parse(project.label_config)
        yield from config.faults
        yield from _changed_labels(config, listed)
    except LabelConfigError as error:
        yield str(error)
    run = runs.last(session, project.id)
    yield from _training(session, project, run)
    if listed:
        yield from _masks(listed[0], project, again=run is None or run.version_id != listed[0].id)
    if listed and listed[0].message:
        yield f"{listed[0].name}: {listed[0].message}"
    elif listed and "comparison" in listed[0].metrics:
        yield f"{listed[0].name}: {listed[0].metrics['comparison']['sentence']}"
    yield from _help(session, project.id, listed)
    yield from _outlook(session, project, listed)
    yield from _agreement(session, project.id)
    yield from _examination(session, project)
    for version in listed:
        if version.state is VersionState.PUBLISHED:
            end = "highest" if order_of(version).highest_first else "lowest"
            yield f"ordered by {version.strategy}: the {end} score first"
            yield from _drawn_masks(session, version, project)
            yield from _quality(session, version)
            yield from sentences(version, label_figures(version))
        if version.state in (VersionState.SCORING, VersionState.PUBLISHED):
            yield from summed_up(
                f"task {score.task_id} is not scored: {score.error}"
                for score in scores.of_version(session, version.id)
                if score.error
            )


def _training(session: Session, project: Project, run: TrainingRun | None) -> Iterator[str]:
    """Whether learning is paused, the last training, and which masks are from the running one."""
    from ml_backend.store import drafts
    from ml_backend.store.models import RunState

    if project.paused_at is not None:
        yield f"learning is paused; dsal resume {project.id} resumes it"
    if run is not None and (run.state is RunState.RUNNING or run.message):
        yield f"last training {run.state.value}: {run.message}"
    draft = drafts.current(session, project.id)
    if draft is not None and draft.drawn_at is not None:
        yield (
            f"the masks of the next tasks are from step {draft.step} of the running training, which has "
            f"learned from {draft.learned} labels"
        )


def _help(session: Session, project_id: int, listed: Sequence[Version]) -> Iterator[str]:
    """How much the masks of the latest versions helped, newest first."""
    from ml_backend.page.figures import accepted
    from ml_backend.store import edits

    helps = edits.helps(session, project_id)
    for version in listed[:HELP_VERSIONS]:
        help_ = helps.get(version.name)
        share = accepted(help_)
        if help_ is None or share.value is None:
            continue
        if not share.is_telling:
            yield f"masks of {version.name}: too few to tell ({share.count} annotations)"
            continue
        sentence = (
            f"masks of {version.name}: {share.value:.0%} of {share.count} accepted unchanged "
            f"(95% interval {share.low:.0%} to {share.high:.0%})"
        )
        if help_.dsc is not None and help_.added_path is not None:
            sentence += (
                f"; median DSC of shown and submitted masks {help_.dsc:.3f}"
                f"{_per_label(help_.per_label)}, outline drawn anew {help_.added_path:.0f} pixels"
            )
        if help_.lead_time is not None:
            sentence += f", {help_.lead_time:.0f} s an annotation"
        yield sentence


def _outlook(session: Session, project: Project, listed: Sequence[Version]) -> Iterator[str]:
    """When to stop; nothing before the first training."""
    from ml_backend.store import versions
    from ml_backend.store.outlook import outlook

    if any(version.round > 0 for version in listed):
        yield outlook(session, project.id, versions.published(session, project.id)).sentence()


def _examination(session: Session, project: Project) -> Iterator[str]:
    """How far the examination of the labels is, and how many look wrong."""
    from ml_backend.store import examinations, suspicious

    extent = examinations.extent(session, project)
    if extent is not None:
        listed = len(suspicious.listed(session, project.id))
        look = f"; {listed} to look at again: dsal suspicious --project {project.id}" if listed else ""
        yield f"labels to look at again: {extent.sentence()}{look}"


def _per_label(values: Mapping[str, float]) -> str:
    if len(values) < 2:
        return ""
    return f" ({', '.join(f'{label} {value:.3f}' for label, value in values.items())})"


def _masks(version: Version, project: Project, *, again: bool) -> Iterator[str]:
    """Nested labels, and with `again` also what the version's training could not read."""
    from ml_backend.label_studio.config import LabelConfigError, parse
    from ml_backend.label_studio.nesting import describe_nested
    from ml_backend.learn.problems import summed_up

    if again:
        yield from summed_up(version.metrics.get("problems", ()))
    try:
        knobs = parse(project.label_config).knobs.overrides
    except LabelConfigError:
        knobs = {}
    nested = describe_nested(version.metrics.get("nested_labels", ()), Settings().for_project(knobs).overlap)
    if nested is not None:
        yield nested


def _drawn_masks(session: Session, version: Version, project: Project) -> Iterator[str]:
    """How many tasks wait for the version's score; on how many it draws masks, and why not on the others."""
    from ml_backend.score.drawing import in_words, project_floor
    from ml_backend.store import scores

    if due := scores.due(session, version.id):
        yield f"{len(due)} tasks still have mask and score of the version before; they are scored next"
    shown = scores.shown(session, version.id)
    if shown.hidden or shown.blank or shown.drawn:
        yield in_words(version, shown, project_floor(Settings(), project.label_config))


def _quality(session: Session, version: Version) -> Iterator[str]:
    """Estimated DSC of the masks of unlabelled tasks, and the task with the lowest estimate."""
    from ml_backend.store import scores
    from ml_backend.store.version_names import CALIBRATION
    from model.quality import Calibration

    rows = [row for row in scores.of_version(session, version.id) if row.margin is not None]
    if not rows or version.metrics.get(CALIBRATION) is None:
        return
    calibration = Calibration.from_dict(version.metrics[CALIBRATION])
    qualities = [row.quality for row in rows if row.quality is not None]
    worst = min(rows, key=lambda row: (row.quality or 0.0, row.task_id))
    yield (
        f"estimated DSC of the masks of {len(rows)} tasks: {sum(qualities) / len(rows):.2f} on average, each "
        f"± {calibration.margin:.2f} in {calibration.level:.0%} of cases (from {calibration.images} "
        f"validation images); the lowest is {worst.quality:.2f}, of task {worst.task_id}"
    )


def _changed_labels(config: LabelConfig, listed: Sequence[Version]) -> Iterator[str]:
    """Labels that were added or removed since the published version was trained."""
    from ml_backend.store.models import VersionState
    from model.classes import Classes

    for version in listed:
        if version.state is VersionState.PUBLISHED and version.weights_hash:
            known = Classes(config.labels, config.indices).shared(version.labels)
            new = [label for label in config.labels if label not in known]
            gone = [label for label in version.labels if label not in config.indices]
            if new:
                yield f"labels that {version.name} lacks until the next training: {', '.join(new)}"
            if gone:
                yield f"labels of {version.name} that the labeling config no longer has: {', '.join(gone)}"


def _agreement(session: Session, project_id: int) -> Iterator[str]:
    """Mean agreement between annotators of the same tasks, and the tasks with the lowest."""
    from ml_backend.store import agreements

    summary = agreements.summaries(session).get(project_id)
    if summary is not None:
        worst = agreements.lowest(session, project_id, LEAST_AGREED).items()
        listed = ", ".join(f"task {task} {one.dsc:.3f} ({one.annotators})" for task, one in worst)
        tasks = counted(summary.tasks, "task")
        yield f"agreement between annotators: mean DSC {summary.dsc:.3f} over {tasks}"
        yield f"lowest agreement (annotators): {listed}"
