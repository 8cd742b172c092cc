"""The routes of the page: projects, one project, its fragments, thumbnails, comparison, and its actions."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest, HTTPException, NotFound
from werkzeug.wrappers import Response as BaseResponse

from ml_backend.act.asking import IMAGES, RefusedError, UnknownError, ask
from ml_backend.page import board, charts, health, labelled, pictures
from ml_backend.page.figures import compared
from ml_backend.page.openapi import LARGEST_ID
from ml_backend.page.safety import add_headers, person, refuse_impossible_numbers, refuse_other_sites
from ml_backend.queue.queues import JobQueues
from ml_backend.score.drawing import project_floor
from ml_backend.settings import Settings
from ml_backend.store import actions, edits, projects, scores, suspicious, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, Version, now
from ml_backend.store.outlook import outlook
from ml_backend.store.states import ActionKind
from ml_backend.store.version_names import CALIBRATION
from model.comparison import signed
from model.quality import MIN_IMAGES

NUMBER = "<int:project_id>"


class Page:
    """The page; each method is a route, and reads the database in one transaction."""

    def __init__(self, settings: Settings, database: Database, queues: JobQueues) -> None:
        self._settings, self._database, self._queues = settings, database, queues

    def index(self) -> str:
        """All projects, and what stands in the way."""
        with self._database.read() as session:
            summaries = board.summaries(session, self._settings)
        problems = list(health.of_installation(self._settings, self._queues))
        template = "projects.html" if _is_fragment() else "index.html"
        return render_template(template, summaries=summaries, problems=problems, moment=now())

    def project(self, project_id: int) -> str:
        """One project, with all of its sections."""
        with self._database.read() as session:
            project = _project(session, project_id)
            filled = {
                **self._top(session, project),
                **self._quality(session, project),
                **self._next(session, project),
                **self._jobs(session, project),
                "stop": self._stop(session, project),
                "suspicious": board.again(session, self._settings, project),
                "agreement": board.agreement(session, self._settings, project_id),
            }
        return render_template("project.html", **filled)

    def fragment(self, project_id: int, name: str) -> str | Response:
        """One part that changes while people look: top, quality, next or jobs; 204 if nothing changed."""
        makers = {"top": self._top, "quality": self._quality, "next": self._next, "jobs": self._jobs}
        if name not in makers:
            raise NotFound("There is no such part of the page.")
        with self._database.read() as session:
            project = _project(session, project_id)
            if name == "quality" and request.args.get("known") == _quality_stamp(session, project):
                return make_response("", 204)
            filled = makers[name](session, project)
        if request.args.get("known") == filled[f"{name}_stamp"]:
            return make_response("", 204)
        return render_template(f"{name}.html", **filled)

    def picture(self, project_id: int, version_id: int, task_id: int) -> Response:
        """The thumbnail of a task under a version, with the mask.

        The answer is 404, with the reason as text, if there is none.
        """
        with self._database.read() as session:
            project, version = _project(session, project_id), session.get(Version, version_id)
            if version is None or version.project_id != project_id:
                raise NotFound("There is no such version.")
            try:
                found = pictures.find(session, self._settings, project, version_id, task_id)
            except pictures.NoPictureError as error:
                raise NotFound(str(error)) from error
        tag = hashlib.sha256(found.content + repr(found.regions).encode()).hexdigest()[:32]
        answer = make_response()
        answer.set_etag(tag)
        answer.headers["Cache-Control"] = "private, max-age=60"
        if tag in request.if_none_match:
            answer.status_code = 304
            return answer
        most = min(self._settings.max_image_pixels, pictures.MOST_PIXELS)
        try:
            answer.set_data(pictures.draw(found, most))
        except pictures.NoPictureError as error:
            raise NotFound(str(error)) from error
        answer.mimetype = "image/jpeg"
        return answer

    def label_picture(self, project_id: int, annotation_id: int, which: str) -> Response:
        """A suspicious label over its image: the mask that was `drawn`, or the one that a network has `seen`.

        The answer is 404 if there is none.
        """
        if which not in labelled.MASKS:
            raise NotFound("There is no such picture.")
        with self._database.read() as session:
            found = suspicious.with_picture(session, project_id, annotation_id)
        if found is None or found.picture is None:
            raise NotFound("There is no picture of this label.")
        answer = make_response(labelled.draw(found.picture, found.mark, which))
        answer.mimetype = "image/jpeg"
        answer.headers["Cache-Control"] = "private, max-age=3600"
        return answer

    def compare(self, project_id: int) -> str:
        """Two versions on the same validation images."""
        with self._database.read() as session:
            project = _project(session, project_id)
            named = {version.name: version for version in versions.of_project(session, project_id)}
        former, later = (named.get(request.args.get(key, "")) for key in ("former", "later"))
        found = None if former is None or later is None else compared(former, later)
        return render_template("compare.html", project=project, former=former, later=later, found=found)

    def act(self, project_id: int) -> BaseResponse:
        """Ask for something, and go back to the page, which says what comes of it."""
        try:
            kind = ActionKind(request.form.get("kind", ""))
        except ValueError as error:
            raise BadRequest("There is no such action.") from error
        asked = ask(
            self._database,
            self._queues,
            kind,
            project_id=project_id,
            target=request.form.get("target", ""),
            who=person(),
            via="page",
        )
        return redirect(url_for("page.project", project_id=project_id, asked=asked.id), 303)

    def _top(self, session: Session, project: Project) -> dict[str, Any]:
        summary = board.summary(session, self._settings, project)
        problems = [*health.of_installation(self._settings, self._queues), *summary.problems]
        asked = _asked(session, project.id)
        return {
            "project": project,
            "summary": summary,
            "problems": problems,
            "asked": asked,
            "images_target": IMAGES,
            "top_stamp": _stamp(summary.progress, problems, asked and asked.state),
        }

    def _quality(self, session: Session, project: Project) -> dict[str, Any]:
        rows = board.version_rows(session, project.id)
        published = versions.published(session, project.id)
        estimates = [] if published is None else scores.qualities(session, published.id)
        trained = [row for row in reversed(rows) if row.dsc.count]
        used = board.accepted_over_time(rows)
        calibration = None if published is None else published.metrics.get(CALIBRATION)
        floor = project_floor(self._settings, project.label_config)
        return {
            "project": project,
            "rows": rows,
            "published": published,
            "trained": trained,
            "used": used,
            "labels": list(dict.fromkeys(label for row in trained for label in row.labels)),
            "dsc_chart": charts.interval_chart(
                [
                    charts.Point(
                        row.version.labels_used,
                        row.dsc,
                        str(row.version.labels_used),
                        row.version.name,
                        row.version.id == project.published_version_id,
                    )
                    for row in sorted(trained, key=lambda row: (row.version.labels_used, row.version.id))
                ],
                "Validation DSC over the number of labels",
                "labels",
            ),
            "accepted_chart": charts.interval_chart(
                [
                    charts.Point(index, row.accepted, f"r{row.version.round}", row.version.name)
                    for index, row in enumerate(used)
                ],
                "Share of masks accepted unchanged, by version",
                "version",
            ),
            "pool_chart": charts.histogram(
                [quality for quality, _ in estimates],
                "Estimated DSC of the next images",
                "estimated DSC",
                floor,
            ),
            "estimates": estimates,
            "level": calibration["level"] if calibration else None,
            "margin": next((margin for _, margin in estimates if margin is not None), None),
            "floor": floor,
            "fewest": MIN_IMAGES,
            "moment": now(),
            "quality_stamp": _quality_stamp(session, project),
        }

    def _stop(self, session: Session, project: Project) -> dict[str, Any] | None:
        """What further labels will bring; None before the first validated version."""
        found = outlook(session, project.id, versions.published(session, project.id))
        if not found.curve.versions:
            return None
        sentence = found.sentence().removeprefix("when to stop: ")
        past = list(zip(found.curve.labels, found.curve.means, strict=True))
        ahead = () if found.forecast is None else found.forecast.curve
        chart = charts.forecast_chart(
            past, ahead, "Validation DSC over labels, and what further labels may bring"
        )
        return {"sentence": f"{sentence[0].upper()}{sentence[1:]}.", "chart": chart if ahead else None}

    def _next(self, session: Session, project: Project) -> dict[str, Any]:
        images = board.next_images(session, self._settings, project, board.NEXT_IMAGES)
        shown = [(image.score.version_id, image.score.task_id, image.score.hidden) for image in images]
        return {"project": project, "images": images, "next_stamp": _stamp(shown)}

    def _jobs(self, session: Session, project: Project) -> dict[str, Any]:
        jobs, trouble = board.jobs_of(session, self._queues, project.id)
        done = actions.recent(session, project.id)
        trainings = board.latest_runs(session, project.id)
        stamp = _stamp(
            [(job.id, job.state) for job in jobs],
            [(action.id, action.state) for action in done],
            [(run.id, run.state, run.message) for run in trainings],
        )
        return {
            "project": project,
            "jobs": jobs,
            "trouble": trouble,
            "actions": done,
            "trainings": trainings,
            "moment": now(),
            "jobs_stamp": stamp,
        }


def blueprint(settings: Settings, database: Database, queues: JobQueues) -> Blueprint:
    """The page with its style sheet and scripts; it refuses what comes from other sites."""
    routes = Blueprint(
        "page", __name__, template_folder="templates", static_folder="static", static_url_path="/page/static"
    )
    page = Page(settings, database, queues)
    routes.before_request(refuse_other_sites)
    routes.before_request(refuse_impossible_numbers)
    routes.after_request(add_headers)
    routes.add_app_template_filter(board.ago, "ago")
    routes.add_app_template_filter(signed, "signed")
    routes.get("/", endpoint="index")(page.index)
    routes.get(f"/projects/{NUMBER}", endpoint="project")(page.project)
    routes.get(f"/projects/{NUMBER}/parts/<name>", endpoint="fragment")(page.fragment)
    routes.get(f"/projects/{NUMBER}/compare", endpoint="compare")(page.compare)
    picture = f"/projects/{NUMBER}/versions/<int:version_id>/pictures/<int:task_id>"
    routes.get(picture, endpoint="picture")(page.picture)
    labels = f"/projects/{NUMBER}/labels/<int:annotation_id>/<which>"
    routes.get(labels, endpoint="label_picture")(page.label_picture)
    routes.post(f"/projects/{NUMBER}/actions", endpoint="act")(page.act)

    @routes.errorhandler(RefusedError)
    def refused(error: RefusedError) -> tuple[str, int]:
        status = 404 if isinstance(error, UnknownError) else 409
        return render_template("error.html", sentence=str(error)), status

    @routes.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[str, int]:
        return render_template("error.html", sentence=error.description or error.name), error.code or 500

    return routes


def _is_fragment() -> bool:
    return request.headers.get("HX-Request") == "true"


def _project(session: Session, project_id: int) -> Project:
    project = projects.get(session, project_id)
    if project is None:
        raise NotFound(f"Project {project_id} is unknown here; connect it with dsal connect first.")
    return project


def _asked(session: Session, project_id: int) -> Any:
    """The action that the address names, so that the page says what comes of it."""
    number = request.args.get("asked", "")
    if not number.isdecimal() or int(number) > LARGEST_ID:
        return None
    action = actions.get(session, int(number))
    return action if action is not None and action.project_id == project_id else None


def _quality_stamp(session: Session, project: Project) -> str:
    """The stamp of the quality and the versions, without the work of computing their figures."""
    published = project.published_version_id
    return _stamp(
        versions.states(session, project.id),
        edits.extent(session, project.id),
        None if published is None else scores.quality_extent(session, published),
    )


def _stamp(*shown: object) -> str:
    """A short hash of what a part of the page shows, by which it knows whether anything has changed."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]
