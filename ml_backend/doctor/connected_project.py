"""A project in Label Studio: may the token see it, and is it set up as `dsal connect` sets it up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import ConnectedProject
from ml_backend.label_studio.blueprint import (
    BACKEND_TITLE,
    EVENTS,
    VIEW_TITLE,
    annotator_of,
    annotator_rules,
    order_fields,
    project_fields,
    view_rules,
)
from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.connection import webhook_headers
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.score.strategy import is_highest_first
from ml_backend.store import versions
from ml_backend.store.models import VersionState

FIELDS: Mapping[str, str] = {
    "sampling": "Sampling is {found!r}, which does not serve the most informative tasks first.",
    "show_collab_predictions": "Annotators are not shown the predictions.",
    "evaluate_predictions_automatically": "The Data Manager asks for predictions of each page's tasks.",
}
"""What it means for annotators when a field of the project is not as it should be."""

CONFIG_CURE = "Change it in the project's settings, under Labeling Interface."


def look_at_project(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the token's owner may see and change the project."""
    try:
        project.fields = project.client.project(project.number)
        project.client.webhooks(project.number)
    except LabelStudioError as error:
        if error.status not in (403, 404):
            raise
        yield fault(
            "It does not exist in this Label Studio, or the token's owner may not see it.",
            "Check the number; use the token of somebody who is a member of the project's organisation.",
        )
        return
    yield ok(f"“{project.fields['title']}” can be read.")


def look_at_webhook(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio tells this service of annotations, in a way that is let in."""
    url = f"{project.url}/webhook"
    listed = project.client.webhooks(project.number)
    ours = [each for each in listed if each["url"].rstrip("/") == url]
    cure = f"Run {project.connect}."
    if not ours:
        elsewhere = [each["url"] for each in listed if each["url"].rstrip("/").endswith("/webhook")]
        instead = f", only to {', '.join(elsewhere)}" if elsewhere else ""
        yield fault(f"There is none to {url}{instead}: nothing is learnt of annotations.", cure)
        return
    wrong = list(_wrong_in(ours[0], webhook_headers(project.installation.settings.basic_auth)))
    for sentence in wrong:
        yield fault(sentence, cure)
    if len(ours) > 1:
        yield warning(f"There are {len(ours)} to {url}: each annotation is told {len(ours)} times.", cure)
    elif not wrong:
        yield ok(f"It tells {url} of {len(EVENTS)} kinds of events.")


def _wrong_in(webhook: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[str]:
    if not webhook["is_active"]:
        yield "It is switched off."
    present = {name.lower(): value for name, value in (webhook["headers"] or {}).items()}
    wanted = headers.get("Authorization")
    if wanted is not None and "authorization" not in present:
        yield "It lacks its Authorization header: this service answers it with 401."
    elif wanted is not None and present["authorization"] != wanted:
        yield "Its Authorization header holds another password than BASIC_AUTH_PASS."
    if not webhook["send_payload"]:
        yield "It sends no payload."
    missing = sorted(set(EVENTS) - set(webhook["actions"]))
    if missing and not webhook["send_for_all_actions"]:
        yield f"It leaves out {', '.join(missing)}."


def look_at_config(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the labeling config holds something to draw masks with."""
    try:
        config = parse(str(project.fields["label_config"] or ""))
    except LabelConfigError as error:
        yield fault(str(error), CONFIG_CURE)
        return
    for sentence in config.faults:
        yield warning(sentence, f"{CONFIG_CURE} Until then it is taken as if it were not there.")
    if not config.faults:
        yield ok(f"Labels: {', '.join(config.labels)}.")


def look_at_settings(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the project's own settings serve the order and show the predictions."""
    highest_first = _is_highest_first(project)
    fields = project_fields(highest_first)
    wrong = [name for name, wanted in fields.items() if project.fields.get(name) != wanted]
    for name in wrong:
        found = project.fields.get(name)
        sentence = FIELDS.get(name, "The field {name} is {found!r}.").format(name=name, found=found)
        verdict = fault if name in order_fields(highest_first) else warning
        yield verdict(sentence, f"Run {project.connect}.")
    if project.fields.get("min_annotations_to_start_training"):
        yield warning(
            "It starts trainings on submission by itself, within the annotator's request.",
            'Switch "Start model training on annotation submission" off; the webhook does it.',
        )
    elif not wrong:
        yield ok(f"{fields['sampling']}, predictions shown to annotators.")


def look_at_view(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether a view that serves the most informative tasks first is there; a renamed one does as well."""
    views = project.client.views(project.number)
    listed = [view["data"] for view in views]
    named = [data for data in listed if data.get("title") == VIEW_TITLE]
    highest_first = _is_highest_first(project)
    ordered = [data for data in named or listed if view_rules(highest_first).items() <= data.items()]
    cure = f"Run {project.connect}."
    if ordered:
        yield ok(f"“{ordered[0].get('title')}” orders by score.")
    elif named:
        yield fault(f"The order or the filter of “{VIEW_TITLE}” was changed.", cure)
    else:
        yield fault(f"There is no view “{VIEW_TITLE}”.", cure)
    yield from _personal_views(project, views, highest_first)


def _is_highest_first(project: ConnectedProject) -> bool:
    """Which end of the scores is to be labelled first."""
    try:
        config = parse(str(project.fields["label_config"] or ""))
    except LabelConfigError:
        config = None
    installation = project.installation
    return is_highest_first(installation.database, installation.settings, project.number, config)


def _personal_views(
    project: ConnectedProject, views: Sequence[Mapping[str, Any]], highest_first: bool
) -> Iterator[Verdict]:
    """Whether the views of several annotators, where there are any, show each the tasks reserved for them."""
    owned = {email: view["data"] for view in views if (email := annotator_of(view)) is not None}
    changed = [
        email
        for email, data in owned.items()
        if not annotator_rules(email, highest_first).items() <= data.items()
    ]
    for email in changed:
        yield fault(
            f"The order or the filter of the view of {email} was changed.",
            f"Run dsal reconcile --project {project.number}.",
        )
    if owned and not changed:
        yield ok(f"Views of single annotators are as they should be: {', '.join(owned)}.")


def look_at_version(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio orders by the scores of the version that is published."""
    database = project.installation.database
    assert database is not None
    shown = project.fields["model_version"] or ""
    with database.read() as session:
        published = versions.published(session, project.number)
        coming = versions.by_name(session, shown) if shown else None
    if published is None:
        yield warning(
            "No version is published yet: the tasks have no scores.",
            "Wait for the worker to make the first order; dsal status shows what it does.",
        )
    elif shown == published.name:
        yield ok(f"The tasks are ordered by {shown}.")
    elif coming is not None and coming.state is VersionState.SCORING:
        yield ok(f"{shown} is being published this moment.")
    elif published.name not in project.client.model_versions(project.number):
        yield ok(f"{published.name} is published; no task is left that it could order.")
    else:
        by = (
            f"by the scores of {shown}"
            if shown not in ("", BACKEND_TITLE, project.backend["title"])
            else "by nothing"
        )
        yield fault(
            f"The tasks are ordered {by}, while {published.name} is published.",
            f"Run dsal reconcile --project {project.number}; a worker does so every RECONCILE_SECONDS.",
        )
