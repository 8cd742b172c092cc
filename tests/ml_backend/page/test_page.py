"""What the page shows, says and refuses, over the real routes, database and queue."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.learn.evidence import picture as picture_of
from ml_backend.score import packing
from ml_backend.settings import Settings
from ml_backend.store import actions, agreements, examinations, projects, runs, versions
from ml_backend.store.agreements import TaskAgreement
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import (
    Edit,
    Event,
    Examination,
    ExaminedLabel,
    LabelSeen,
    Project,
    RunState,
    Score,
    ScoreState,
    TrainingRun,
    Version,
    VersionState,
    now,
)
from ml_backend.store.states import Provenance
from ml_backend.store.version_names import IMAGE_DSC, LABEL_DSC, LABEL_IMAGES
from ml_backend.web.app import Services, create_app

CONFIG = default_config(["Bone", "Soft"])
PICTURE = "ab" * 32
HERE = {"Sec-Fetch-Site": "same-origin"}


def metrics(dsc: list[float]) -> dict[str, object]:
    return {
        "validation_dsc": float(np.mean(dsc)),
        "validation_images": len(dsc),
        LABEL_DSC: {"Bone": float(np.mean(dsc)), "Soft": 0.5},
        LABEL_IMAGES: {"Bone": len(dsc), "Soft": 1},
        IMAGE_DSC: [{"task": 50 + place, "dsc": {"Bone": value}} for place, value in enumerate(dsc)],
    }


@pytest.fixture
def project(services: Services) -> Project:
    """A project with two versions, six scored tasks, of which the first has a cached image, and edits."""
    with services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        project.title, project.label_config, project.called_at = "Hands <b>", CONFIG, now()
        for round, (labels, dsc) in enumerate(
            [(10, [0.7, 0.72, 0.75, 0.71, 0.69]), (20, [0.9, 0.91, 0.93, 0.92, 0.9])], 1
        ):
            version = versions.create(
                session,
                project,
                round=round,
                state=VersionState.SCORING,
                labels=("Bone", "Soft"),
                weights_hash=str(round) * 64,
                labels_used=labels,
                metrics=metrics(dsc),
            )
            versions.publish(session, version)
        version.strategy = "consistency"
        mask = np.zeros((30, 60), np.uint8)
        mask[5:20, 10:40] = 1
        packed = packing.pack(None, results(mask, parse(CONFIG)), "x")
        for task in range(1, 7):
            session.add(
                Score(
                    version_id=version.id,
                    task_id=task,
                    score=task / 10,
                    priority=task / 10,
                    quality=0.1 * task,
                    margin=0.05,
                    state=ScoreState.WRITTEN,
                    l_dsc=0.5,
                    m_dsc=0.5,
                    packed=packed,
                    picture=PICTURE if task == 6 else None,
                )
            )
        for number in range(6):
            accepted = Provenance.ACCEPTED if number < 4 else Provenance.EDITED
            session.add(
                Edit(
                    project_id=3,
                    annotation_id=number,
                    task_id=100 + number,
                    digest="",
                    provenance=accepted,
                    version=version.name,
                    dsc=0.97,
                    added_path=12,
                    lead_time=8.0,
                )
            )
        agreements.replace(session, 3, {7: TaskAgreement(2, 0.81)})
    return project


@pytest.fixture
def picture(settings: Settings) -> Path:
    """A 16-bit image in the cache under the name that the score says."""
    path = settings.image_cache_dir / "3" / PICTURE[:2] / PICTURE
    path.parent.mkdir(parents=True)
    ramp = np.linspace(1000, 3000, 30 * 60).astype(np.uint16).reshape(30, 60)
    path.write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
    return path


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of a thumbnail."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def text_of(page: str) -> str:
    """The page without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def shown(client: FlaskClient, path: str = "/projects/3") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.text


def published_id(services: Services) -> int:
    with services.database.read() as session:
        version = versions.published(session, 3)
        assert version is not None
        return version.id


def test_without_a_project_the_page_says_what_to_do(client: FlaskClient) -> None:
    assert "dsal connect --project N" in text_of(shown(client, "/"))


@pytest.mark.usefixtures("project")
def test_what_others_wrote_is_shown_as_text(client: FlaskClient) -> None:
    for path in ("/", "/projects/3"):
        assert "Hands &lt;b&gt;" in shown(client, path)


@pytest.mark.usefixtures("project")
def test_a_figure_comes_with_its_interval_and_count(client: FlaskClient) -> None:
    said = text_of(shown(client))
    assert re.search(r"0\.912 0\.9\d\d–0\.9\d\d n = 5", said)
    assert "too few to tell (n = 1)" in said, "one validation image has the label Soft"


@pytest.mark.usefixtures("project")
def test_the_accepted_share_has_wilsons_interval(client: FlaskClient) -> None:
    assert "67 % 30–90 % n = 6" in text_of(shown(client))


@pytest.mark.usefixtures("project")
def test_the_next_images_come_in_the_served_order_with_a_link(client: FlaskClient) -> None:
    page = shown(client)
    assert re.findall(r"Task (\d+)</span>", page) == ["6", "5", "4", "3", "2", "1"]
    assert "http://localhost:8080/projects/3/data?task=6" in page


def test_links_use_the_address_that_browsers_know(unlocked: Services, project: Project) -> None:
    settings = unlocked.settings.model_copy(update={"label_studio_public_url": "https://ls.example.org/"})
    client = create_app(Services(settings, unlocked.database, unlocked.queues)).test_client()
    assert "https://ls.example.org/projects/3/data?task=6" in shown(client)


def test_a_task_that_was_labelled_a_moment_ago_is_not_next(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        session.add(Event(project_id=3, action="ANNOTATION_CREATED", task_ids=[6], changes=["annotation:1"]))
    assert re.findall(r"Task (\d+)</span>", shown(client))[0] == "5"


def test_a_thumbnail_shows_the_mask_over_the_image(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/6")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    drawn = decoded(answer.data).astype(int)
    assert drawn.shape == (30, 60, 3)
    colourful = drawn.max(axis=2) - drawn.min(axis=2)
    assert colourful[8:17, 14:36].mean() > 20 > colourful[24:, 45:].mean()
    again = client.get(answer.request.path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_an_image_that_is_not_cached_or_broken_gives_a_reason(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    picture.write_bytes(b"no image")
    for task in (5, 6, 77):
        answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/{task}")
        assert answer.status_code == 404
        assert '<p class="sentence">' in answer.text


def test_a_thumbnail_is_bounded(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    picture.write_bytes(cv2.imencode(".png", np.zeros((900, 3000), np.uint8))[1].tobytes())
    answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/6")
    assert decoded(answer.data).shape == (72, 240, 3)


def test_learning_is_told_in_one_sentence(client: FlaskClient, services: Services, project: Project) -> None:
    with services.database.write() as session:
        session.add(
            TrainingRun(project_id=3, owner=str(ProcessId.current()), message="step 2, 4 s, loss 0.3")
        )
    assert re.search(r"Learning from .* labels; the next masks will be better in about \d+ s", shown(client))


def test_a_failed_training_says_why_and_how_to_go_on(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        run = TrainingRun(project_id=3, owner="x")
        session.add(run)
        session.flush()
        runs.finish(session, run, RunState.FAILED, message="The disk is full.")
    said = text_of(shown(client))
    assert "The last training failed: The disk is full." in said
    assert "then train again" in said


@pytest.mark.usefixtures("project")
def test_no_worker_and_no_password_are_told_with_their_cures(unlocked: Services) -> None:
    said = text_of(shown(create_app(unlocked).test_client(), "/"))
    assert "No worker is running: nothing is trained or scored. Start dsal worker." in said
    assert "Set BASIC_AUTH_USER and BASIC_AUTH_PASS" in said


@pytest.mark.usefixtures("project")
def test_when_to_stop_is_not_told_after_two_rounds(client: FlaskClient) -> None:
    page = shown(client)
    assert "When to stop Not yet to be told (2 of 4 validated rounds)." in text_of(page)
    assert 'class="band"' not in page


def test_when_to_stop_is_told_and_drawn_after_enough_rounds(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        for round, mean in enumerate((0.93, 0.935, 0.937, 0.938), 3):
            version = versions.create(
                session,
                session.get_one(Project, 3),
                round=round,
                state=VersionState.SCORING,
                labels=("Bone", "Soft"),
                weights_hash=str(round) * 64,
                labels_used=10 * round,
                metrics=metrics([mean - 0.01, mean + 0.01, mean, mean - 0.005, mean + 0.005]),
            )
            versions.publish(session, version)
    page = shown(client)
    said = text_of(page)
    assert re.search(r"When to stop (About \d+ to|At most about|Time to stop|Not yet to be told \()", said)
    assert 'class="band"' in page
    assert "with its 90 % interval" in said


def suspicious_label(number: int, *, wrong: bool) -> ExaminedLabel:
    """An examined label: in an image of 40 x 90 pixels, an object at the top was forgotten."""
    seen = np.zeros((40, 90), np.uint8)
    seen[5:20, 60:80] = 2
    place = (60, 5, 80, 20)
    image = np.full((40, 90), 90, np.uint8)
    drawn, mark = picture_of(image, np.zeros_like(seen), seen, place) if wrong else (None, [])
    return ExaminedLabel(
        project_id=3,
        annotation_id=number,
        task_id=100 + number,
        digest="",
        changed_at="",
        score=0.9 if wrong else 0.1,
        is_suspicious=wrong,
        reason="340 pixels of <Bone> are not seen" if wrong else "",
        version="p3-fold1-12345678",
        picture=drawn,
        mark=mark,
    )


def test_labels_to_look_at_again_show_both_masks_and_link_to_their_tasks(
    client: FlaskClient, services: Services, project: Project
) -> None:
    assert "Labels to look at again" not in shown(client), "no label was ever examined"
    with services.database.write() as session:
        session.add_all([suspicious_label(1, wrong=True), suspicious_label(2, wrong=False)])
    page = shown(client)
    said = text_of(page)
    assert (
        "Drawn Seen by the network Task 101 suspicion 0.90 340 pixels of &lt;Bone&gt; are not seen." in said
    )
    assert "p3-fold1-12345678" in said
    assert "/projects/3/data?task=101" in page
    assert "Task 102" not in page
    alternatives = re.findall(r'<img[^>]+alt="(Task 101[^"]+)" src="([^"]+)', page)
    assert alternatives[0][0] == "Task 101, the mask that was drawn: 340 pixels of &lt;Bone&gt; are not seen."
    drawn, seen = (decoded(client.get(source).data).astype(int) for _, source in alternatives)
    assert drawn.shape == seen.shape
    assert max(seen.shape) <= 320
    middle, frame = (slice(60, 65), slice(235, 245)), np.s_[:, 100:]
    assert np.ptp(drawn[middle].mean((0, 1))) < 10 < np.ptp(seen[middle].mean((0, 1))), "only one is coloured"
    assert (drawn[frame] > 230).all(2).any(), "the place is marked where nothing is drawn as well"
    asked = client.post("/projects/3/actions", data={"kind": "check"}, headers=HERE, follow_redirects=True)
    assert "A worker is about to do it" in text_of(asked.text)
    for other in ("labels/2/drawn", "labels/1/other", "labels/77/seen"):
        assert client.get(f"/projects/3/{other}").status_code == 404


def test_an_examination_says_how_far_it_is(client: FlaskClient, services: Services, project: Project) -> None:
    folds = [{"held": [1], "version": "p3-fold1-12345678", "weights": "a"}, {"held": [2], "version": ""}]
    with services.database.write() as session:
        session.add(suspicious_label(2, wrong=False))
        session.add(
            Examination(project_id=3, labels=["Bone"], tasks=2, folds=folds, message="network 2 learns")
        )
        for number in (1, 2, 4):
            session.add(LabelSeen(project_id=3, annotation_id=number, task_id=number, fingerprint=""))
    page = shown(client)
    assert "1 of 3 labels are examined; 1 of 2 networks are trained for that; network 2 learns." in page
    assert '<progress max="3" value="1"' in page
    with services.database.write() as session:
        examination = session.get_one(Examination, 3)
        examination.finished = examinations.stamp(session, session.get_one(Project, 3))
        examination.message = ""
    assert "networks are trained" not in shown(client)
    assert "None of 1 examined labels looks wrong." in text_of(shown(client))


def test_agreement_lists_the_lowest_tasks(client: FlaskClient, project: Project) -> None:
    said = text_of(shown(client))
    assert "Mean DSC 0.810 over 1 task that" in said
    assert "Task 7 2 0.810" in said


@pytest.mark.usefixtures("project")
def test_two_versions_are_compared_on_the_same_images(client: FlaskClient, services: Services) -> None:
    with services.database.read() as session:
        later, former = (one.name for one in versions.of_project(session, 3))
    said = text_of(shown(client, f"/projects/3/compare?former={former}&later={later}"))
    assert f"Better than {former}: DSC 0.912 against 0.714 on 5 validation images" in said
    assert "Choose two versions" in text_of(shown(client, "/projects/3/compare?former=x"))


@pytest.mark.parametrize("part", ["top", "quality", "next", "jobs"])
@pytest.mark.usefixtures("project")
def test_a_part_is_sent_again_only_if_it_has_changed(client: FlaskClient, part: str) -> None:
    page = shown(client, f"/projects/3/parts/{part}")
    found = re.search(rf'hx-get="(/projects/3/parts/{part}\?known=\w+)', page)
    assert found is not None
    assert client.get(found[1]).status_code == 204
    assert client.get(found[1][:-1] + "x").status_code == 200


@pytest.mark.usefixtures("project")
def test_an_action_is_recorded_with_its_person_and_told_on_the_page(services: Services) -> None:
    settings = services.settings.model_copy(update={"basic_auth_user": "ann"})
    locked = create_app(
        Services(
            Settings(**{**settings.model_dump(), "basic_auth_pass": "pw"}), services.database, services.queues
        )
    ).test_client()
    assert locked.post("/projects/3/actions", data={"kind": "pause"}, headers=HERE).status_code == 401
    answer = locked.post(
        "/projects/3/actions", data={"kind": "pause"}, headers=HERE, auth=("ann", "pw"), follow_redirects=True
    )
    assert "A worker is about to do it" in text_of(answer.text)
    with services.database.read() as session:
        (action,) = actions.recent(session, 3)
    assert (action.who, action.via) == ("ann", "page")
    assert f"act-{action.id}" in services.queues.all()[0].get_job_ids()


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
)
@pytest.mark.parametrize("path", ["/projects/3/actions", "/api/projects/3/actions"])
@pytest.mark.usefixtures("project")
def test_what_comes_from_another_site_changes_nothing(
    client: FlaskClient, services: Services, headers: dict[str, str], path: str
) -> None:
    answer = client.post(path, data={"kind": "pause"}, headers=headers)
    assert answer.status_code == 403
    with services.database.read() as session:
        assert actions.recent(session) == []


@pytest.mark.parametrize("headers", [HERE, {"Origin": "http://localhost"}, {}])
@pytest.mark.usefixtures("project")
def test_the_page_itself_and_programs_may_act(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post("/projects/3/actions", data={"kind": "pause"}, headers=headers).status_code == 303


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"kind": "publish", "target": "p3-r009-no-such"}, 404),
        ({"kind": "resume"}, 409),
        ({"kind": "check"}, 409),
        ({"kind": "x"}, 400),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_cannot_be_done_is_said_on_a_page(
    client: FlaskClient, form: dict[str, str], status: int
) -> None:
    answer = client.post("/projects/3/actions", data=form, headers=HERE)
    assert answer.status_code == status
    assert "That did not work" in answer.text


@pytest.mark.parametrize(
    "path", ["/", "/projects/3", "/projects/77", "/page/static/page.css", "/api/projects"]
)
@pytest.mark.usefixtures("project")
def test_every_answer_forbids_what_comes_from_elsewhere(client: FlaskClient, path: str) -> None:
    policy = client.get(path).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.usefixtures("project")
def test_the_page_names_no_other_address_and_has_no_code_of_its_own(client: FlaskClient) -> None:
    page = shown(client)
    loaded = re.findall(r'(?:src|hx-get)="([^"]+)"', page) + re.findall(r'<link[^>]+href="([^"]+)"', page)
    assert loaded
    assert all(one.startswith("/") and not one.startswith("//") for one in loaded)
    assert not re.search(r"\son\w+=|\sstyle=|<script(?![^>]+src=)", page)


@pytest.mark.parametrize("number", [77, 2**31, 2**70])
@pytest.mark.usefixtures("project")
def test_a_number_of_nothing_is_not_found(client: FlaskClient, number: int) -> None:
    for prefix in ("", "/api"):
        assert client.get(f"{prefix}/projects/{number}").status_code == 404
        answer = client.post(f"{prefix}/projects/{number}/actions", json={"action": "pause"})
        assert answer.status_code in ((400, 404) if not prefix else (404,))


def test_an_archived_project_can_be_looked_at(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        projects.archive(session, session.get_one(Project, 3), by_hand=True)
    assert "Archived: nothing is done" in shown(client)


def test_the_version_that_is_scored_shows_how_far_it_is(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        version = Version(project_id=3, name="p3-r003-x", round=3, state=VersionState.SCORING)
        session.add(version)
        session.flush()
        for task in range(4):
            state = ScoreState.PENDING if task else ScoreState.RANKED
            session.add(Score(version_id=version.id, task_id=task, state=state))
    assert "p3-r003-x scores the images: 1 of 4" in text_of(shown(client))
