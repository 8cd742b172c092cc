"""Faults of a project: its webhook, labeling config, view, sampling and version."""

from __future__ import annotations

from ml_backend.doctor import State
from ml_backend.label_studio.blueprint import EVENTS
from ml_backend.label_studio.config import add_smart_tags, default_config
from ml_backend.label_studio.connection import webhook_headers
from tests.connecting import connect
from tests.doctor.conftest import Case
from tests.loop.service import AUTH


def test_a_webhook_that_was_deleted(spoilt: Case) -> None:
    spoilt.client.delete_webhook(spoilt.webhook)
    cure = spoilt.diagnose().fault("webhook", "There is none").cure
    assert f"dsal connect --project {spoilt.project}" in cure


def test_a_webhook_to_another_address(spoilt: Case) -> None:
    spoilt.client.patch_webhook(spoilt.webhook, "http://localhost:1/webhook", list(EVENTS))
    spoilt.diagnose().fault("webhook", "only to http://localhost:1/webhook")


def test_a_webhook_with_every_fault_it_can_have(spoilt: Case) -> None:
    url = f"{spoilt.service.url}/webhook"
    spoiling = {"headers": {}, "is_active": False, "send_payload": False}
    spoilt.client.patch_webhook(spoilt.webhook, url, ["ANNOTATION_CREATED"], **spoiling)
    found = spoilt.diagnose()
    found.fault("webhook", "switched off")
    found.fault("webhook", "lacks its Authorization header")
    found.fault("webhook", "no payload")
    found.fault("webhook", "ANNOTATIONS_DELETED")
    # The cure works.
    connect(spoilt.client, backend_url=spoilt.service.url, project=spoilt.project, basic_auth=AUTH)
    assert spoilt.diagnose().state("webhook") is State.OK


def test_a_webhook_twice(spoilt: Case) -> None:
    url = f"{spoilt.service.url}/webhook"
    spoilt.client.create_webhook(
        spoilt.project, url, actions=list(EVENTS), headers=webhook_headers(AUTH), send_for_all_actions=False
    )
    assert spoilt.diagnose().warned("webhook", "There are 2")


def test_a_config_without_labels(spoilt: Case) -> None:
    config = """<View><Image name="image" value="$image"/><Text name="t" value="$text"/>
      <Choices name="c" toName="t"><Choice value="a"/></Choices></View>"""
    spoilt.client.patch_project(spoilt.project, label_config=config)
    assert "Labeling Interface" in spoilt.diagnose().fault("labeling config", "BrushLabels").cure


def test_a_wrong_knob_in_the_config(spoilt: Case) -> None:
    config = default_config(["Bone"]).replace("<BrushLabels ", '<BrushLabels model_threshold="much" ')
    spoilt.client.patch_project(spoilt.project, label_config=config)
    found = spoilt.diagnose()
    assert found.warned("labeling config", 'model_threshold="much"')
    assert found.healthy


def test_a_tag_that_draws_regions_without_labels(spoilt: Case) -> None:
    config = default_config(["Bone"]).replace("</View>", '<MagicWand name="wand" toName="image"/></View>')
    spoilt.client.patch_project(spoilt.project, label_config=config)
    found = spoilt.diagnose()
    assert found.warned("labeling config", '<MagicWand name="wand"> draws regions without a label')
    assert found.healthy


def test_smart_tags_and_a_backend_that_is_not_asked_or_the_other_way_round(spoilt: Case) -> None:
    client, number, url = spoilt.client, spoilt.project, spoilt.service.url
    plain = client.project(number)["label_config"]
    client.patch_project(number, label_config=add_smart_tags(plain))
    cure = spoilt.diagnose().fault("prompts", "the ML backend is not interactive").cure
    # Run the command in the cure as it is written.
    command = cure.removeprefix("Run dsal ").removesuffix(".").split()
    seen = spoilt.service.command(*command)
    assert seen.returncode == 0, seen.stderr
    assert "interactive" in seen.stdout
    (finding,) = spoilt.diagnose().named("prompts")
    assert finding.sentence == "Annotators can ask for masks by points and boxes."
    client.patch_project(number, label_config=default_config(["Bone", "Metal"]))
    try:
        assert "--interactive" in spoilt.diagnose().fault("prompts", "for Bone, Metal").cure
    finally:
        # Label Studio tries the backend with what it is given, so the password is needed as well.
        password = {"auth_method": "BASIC_AUTH", "basic_auth_user": AUTH[0], "basic_auth_pass": AUTH[1]}
        client.patch_ml_backend(spoilt.backend, number, url, is_interactive=False, **password)


def test_a_view_that_was_deleted(spoilt: Case) -> None:
    spoilt.client.delete_view(spoilt.view)
    spoilt.diagnose().fault("view", "There is no view")


def test_a_view_that_somebody_renamed(spoilt: Case) -> None:
    (data,) = [view["data"] for view in spoilt.client.views(spoilt.project) if view["id"] == spoilt.view]
    spoilt.client.patch_view(spoilt.view, spoilt.project, {**data, "title": "Hands to do"})
    (finding,) = spoilt.diagnose().named("view")
    assert (finding.state, "Hands to do" in finding.sentence) == (State.OK, True)
    spoilt.client.delete_view(spoilt.view)


def test_a_view_that_was_reordered(spoilt: Case) -> None:
    (data,) = [view["data"] for view in spoilt.client.views(spoilt.project) if view["id"] == spoilt.view]
    spoilt.client.patch_view(spoilt.view, spoilt.project, {**data, "ordering": ["tasks:id"]})
    spoilt.diagnose().fault("view", "was changed")


def test_the_view_of_a_single_annotator(spoilt: Case) -> None:
    url, number, email = spoilt.service.url, spoilt.project, spoilt.client.emails()[0]
    made = connect(spoilt.client, backend_url=url, project=number, basic_auth=AUTH, annotators=[email])
    try:
        shared, own = spoilt.diagnose().named("view")
        assert shared.state is own.state is State.OK
        assert email in own.sentence
        view = made.annotators[email]
        (data,) = [each["data"] for each in spoilt.client.views(number) if each["id"] == view]
        spoilt.client.patch_view(view, number, {**data, "ordering": ["tasks:id"]})
        assert "dsal reconcile" in spoilt.diagnose().fault("view", f"the view of {email} was changed").cure
    finally:
        connect(spoilt.client, backend_url=url, project=number, basic_auth=AUTH, annotators=[])


def test_a_sampling_that_serves_the_least_informative_first(spoilt: Case) -> None:
    changed = {"sampling": "Uncertainty sampling", "show_collab_predictions": False}
    spoilt.client.patch_project(spoilt.project, min_annotations_to_start_training=3, **changed)
    found = spoilt.diagnose()
    found.fault("sampling", "Uncertainty sampling")
    assert found.warned("sampling", "not shown the predictions")
    assert found.warned("sampling", "starts trainings on submission")


def test_a_version_that_was_reset_by_adding_the_backend_again(spoilt: Case) -> None:
    client, number = spoilt.client, spoilt.project
    # As people do in the browser: unset the version, delete the model, add it again.
    client.patch_project(number, model_version="")
    client.delete_ml_backend(spoilt.backend)
    connect(client, backend_url=spoilt.service.url, project=number, basic_auth=AUTH)
    assert client.project(number)["model_version"] == "dsal"
    fault = spoilt.diagnose().fault("model version", "ordered by nothing")
    # Run the command in the cure as it is written.
    command = fault.cure.removeprefix("Run dsal ").partition(";")[0].split()
    assert spoilt.service.command(*command).returncode == 0
    assert spoilt.diagnose().healthy


def test_another_version_that_orders(spoilt: Case) -> None:
    (task, *_) = spoilt.client.tasks(spoilt.project)
    other = {"task": task.id, "result": [], "score": 0.5, "model_version": "theirs"}
    spoilt.client.import_predictions(spoilt.project, [other])
    spoilt.client.patch_project(spoilt.project, model_version="theirs")
    spoilt.diagnose().fault("model version", "by the scores of theirs")
