"""The labels to look at again, and how far their examination is."""

from __future__ import annotations

import re

import numpy as np
from flask.testing import FlaskClient

from ml_backend.store import examinations
from ml_backend.store.models import Examination, LabelSeen, Project
from ml_backend.web.app import Services
from tests.ml_backend.page.rows import suspicious_label
from tests.ml_backend.page.visit import HERE, decoded, shown, text_of


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
