"""Checks of a project in Label Studio: access to it, and everything that `dsal connect` sets up in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import ConnectedProject
from ml_backend.label_studio.blueprint import (
    BACKEND_TITLE,
    EVENTS,
    VIEW_TITLE,
    Order,
    annotator_of,
    annotator_rules,
    order_fields,
    project_fields,
    view_rules,
)
from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.webhooks import webhook_headers
from ml_backend.score.drawing import in_words, project_floor
from ml_backend.score.strategy import project_order
from ml_backend.store import scores, versions
from ml_backend.store.label_figures import POOR, label_figures
from ml_backend.store.models import VersionState

FIELDS: Mapping[str, str] = {
    "sampling": "Sampling is {found!r}, which does not serve the most informative tasks first.",
    "show_collab_predictions": "Annotators are not shown the predictions.",
    "evaluate_predictions_automatically": "The Data Manager requests predictions for each page's tasks.",
}
"""What it means for annotators when a field of the project has a wrong value."""

CONFIG_CURE = "Change it in the project's settings, under Labeling Interface."


def check_project(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the token's owner may see and change the project."""
    try:
        project.fields = project.client.project(project.number)
        project.client.webhooks(project.number)
    except LabelStudioError as error:
        if error.status not in (403, 404):
            raise
        yield fault(
            "It does not exist in this Label Studio, or the token's owner may not see it.",
            "Check the number, or use the token of a member of the project's organisation.",
        )
        return
    yield ok(f"“{project.fields['title']}” can be read.")


def check_webhook(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether there is a webhook to this service, with the right events, headers and payload."""
    url = f"{project.url}/webhook"
    listed = project.client.webhooks(project.number)
    ours = [each for each in listed if each["url"].rstrip("/") == url]
    cure = f"Run {project.connect}."
    if not ours:
        elsewhere = [each["url"] for each in listed if each["url"].rstrip("/").endswith("/webhook")]
        instead = f", only to {', '.join(elsewhere)}" if elsewhere else ""
        yield fault(f"There is none to {url}{instead}: no annotation is reported to this service.", cure)
        return
    wrong = list(_wrong_in(ours[0], webhook_headers(project.installation.settings.basic_auth)))
    for sentence in wrong:
        yield fault(sentence, cure)
    if len(ours) > 1:
        yield warning(f"There are {len(ours)} to {url}: each annotation is reported {len(ours)} times.", cure)
    elif not wrong:
        yield ok(f"It sends {len(EVENTS)} kinds of events to {url}.")


def _wrong_in(webhook: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[str]:
    if not webhook["is_active"]:
        yield "It is switched off."
    present = {name.lower(): value for name, value in (webhook["headers"] or {}).items()}
    wanted = headers.get("Authorization")
    if wanted is not None and "authorization" not in present:
        yield "It lacks its Authorization header, so this service answers it with 401."
    elif wanted is not None and present["authorization"] != wanted:
        yield "Its Authorization header does not match BASIC_AUTH_USER and BASIC_AUTH_PASS."
    if not webhook["send_payload"]:
        yield "It sends no payload."
    missing = sorted(set(EVENTS) - set(webhook["actions"]))
    if missing and not webhook["send_for_all_actions"]:
        yield f"It does not send {', '.join(missing)}."


def check_config(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the labeling config has a tag for masks, and whether it has faults."""
    try:
        config = parse(str(project.fields["label_config"] or ""))
    except LabelConfigError as error:
        yield fault(str(error), CONFIG_CURE)
        return
    for sentence in config.faults:
        yield warning(sentence, f"{CONFIG_CURE} Until then it is ignored.")
    if not config.faults:
        yield ok(f"Labels: {', '.join(config.labels)}.")


def check_settings(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the project's settings in Label Studio serve the order and show the predictions."""
    order = _order(project)
    fields = project_fields(order)
    wrong = [name for name, wanted in fields.items() if project.fields.get(name) != wanted]
    for name in wrong:
        found = project.fields.get(name)
        sentence = FIELDS.get(name, "The field {name} is {found!r}.").format(name=name, found=found)
        verdict = fault if name in order_fields(order) else warning
        yield verdict(sentence, f"Run {project.connect}.")
    if project.fields.get("min_annotations_to_start_training"):
        yield warning(
            "Label Studio itself starts trainings on submission, within the annotator's request.",
            'Switch off "Start model training on annotation submission"; the webhook is enough.',
        )
    elif not wrong:
        yield ok(f"{fields['sampling']}, predictions shown to annotators.")


def check_view(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether there is a view that serves the most informative tasks first; it may have been renamed."""
    views = project.client.views(project.number)
    listed = [view["data"] for view in views]
    named = [data for data in listed if data.get("title") == VIEW_TITLE]
    order = _order(project)
    ordered = [data for data in named or listed if view_rules(order).items() <= data.items()]
    cure = f"Run {project.connect}."
    if ordered:
        yield ok(f"“{ordered[0].get('title')}” orders by score.")
    elif named:
        yield fault(f"The order or the filter of “{VIEW_TITLE}” was changed.", cure)
    else:
        yield fault(f"There is no view “{VIEW_TITLE}”.", cure)
    yield from _personal_views(project, views, order)


def _order(project: ConnectedProject) -> Order:
    """How Label Studio should serve the project's tasks."""
    try:
        config = parse(str(project.fields["label_config"] or ""))
    except LabelConfigError:
        config = None
    installation = project.installation
    return project_order(installation.database, installation.settings, project.number, config)


def _personal_views(
    project: ConnectedProject, views: Sequence[Mapping[str, Any]], order: Order
) -> Iterator[Verdict]:
    """Whether the annotators' own views, if there are any, show each annotator their assigned tasks."""
    owned = {email: view["data"] for view in views if (email := annotator_of(view)) is not None}
    changed = [
        email for email, data in owned.items() if not annotator_rules(email, order).items() <= data.items()
    ]
    for email in changed:
        yield fault(
            f"The order or the filter of the view of {email} was changed.",
            f"Run dsal reconcile --project {project.number}.",
        )
    if owned and not changed:
        yield ok(f"The annotators' own views are correct: {', '.join(owned)}.")


def check_version(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio orders by the published version's scores."""
    database = project.installation.database
    assert database is not None
    shown = project.fields["model_version"] or ""
    with database.read() as session:
        published = versions.published(session, project.number)
        coming = versions.by_name(session, shown) if shown else None
    if published is None:
        yield warning(
            "No version is published yet: the tasks have no scores.",
            "Wait until a worker has made the first order; dsal status shows its progress.",
        )
    elif shown == published.name:
        yield ok(f"The tasks are ordered by {shown}.")
    elif coming is not None and coming.state is VersionState.SCORING:
        yield ok(f"{shown} is being published now.")
    elif published.name not in project.client.model_versions(project.number):
        yield ok(f"{published.name} is published; there is no task left for it to order.")
    else:
        by = (
            f"by the scores of {shown}"
            if shown not in ("", BACKEND_TITLE, project.backend["title"])
            else "by nothing"
        )
        yield fault(
            f"The tasks are ordered {by}, although {published.name} is published.",
            f"Run dsal reconcile --project {project.number}; a worker also does so every RECONCILE_SECONDS.",
        )


def check_masks(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether annotators are shown masks, and whether the published version has learned every label."""
    installation = project.installation
    assert installation.database is not None
    with installation.database.read() as session:
        published = versions.published(session, project.number)
        shown = None if published is None else scores.shown(session, published.id)
    if published is None or shown is None or published.weights_hash is None:
        yield ok("Tasks open empty until the first training.")
        return
    floor = project_floor(installation.settings, str(project.fields["label_config"] or ""))
    sentence = in_words(published, shown, floor)
    if shown.hidden and not shown.drawn:
        yield warning(sentence, "Label more images; masks are shown as soon as a version is good enough.")
    else:
        yield ok(sentence)
    poor = [figure for figure in label_figures(published) if figure.is_poor]
    if poor:
        names = ", ".join(f"{figure.label} ({figure.dsc:.2f})" for figure in poor)
        yield warning(
            f"{published.name} has hardly learned {names}: the validation DSC is below {POOR}.",
            "Label more images that contain them.",
        )
