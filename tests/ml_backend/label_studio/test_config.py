"""Labeling configs: what is served, and the messages if nothing can be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from ml_backend.label_studio.config import Knobs, LabelConfigError, default_config, parse

IMAGE = '<Image name="image" value="$image"/>'
BRUSH = '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels>'


def view(*tags: str) -> str:
    return f"<View>{''.join(tags)}</View>"


NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(lambda n: n[0] != "$")


@given(st.lists(NAMES, min_size=1, max_size=30, unique=True))
@settings(deadline=None)
def test_the_default_config_reads_back_its_labels(labels: list[str]) -> None:
    config = parse(default_config(labels))
    assert config.labels == tuple(labels)
    assert (config.image_tag, config.control_tag, config.data_key) == ("image", "mask", "image")
    assert config.indices == {label: index for index, label in enumerate(labels, start=1)}


def test_each_label_of_the_default_config_has_a_colour_of_its_own() -> None:
    colours = re.findall(r'background="(#[0-9a-f]{6})"', default_config([f"Bone {n}" for n in range(8)]))
    assert len(set(colours)) == 8


def test_the_default_config_is_valid_to_label_studio_and_lets_the_image_be_zoomed() -> None:
    xml = default_config(["Tibia", "Femur & co <1>"])
    LabelInterface(xml).validate()
    assert 'zoomControl="true"' in xml


@pytest.mark.parametrize(
    "labels", [[], [""], [" Bone"], ["a\nb"], ["$bones"], ["Bone", "Bone"], list(map(str, range(300)))]
)
def test_labels_that_label_studio_would_not_keep_are_refused(labels: list[str]) -> None:
    with pytest.raises(LabelConfigError):
        default_config(labels)


def test_tags_are_found_anywhere_in_any_case_among_others() -> None:
    config = parse(
        view(
            '<Header value="Draw"/><Style>.a {}</Style><!-- a comment -->',
            '<Choices name="quality" toName="xray"><Choice value="good"/></Choices>',
            '<KeyPointLabels name="tip" toName="xray"><Label value="Tip"/></KeyPointLabels>',
            '<View><brushlabels name="bones" toname="xray"><View><Label value="Tibia"/></View>'
            '<Label value="Femur" background="red"/></brushlabels></View>',
            '<Image name="photo" value="$photo"/><image name="xray" value="$x_ray-1"/>',
        )
    )
    assert (config.image_tag, config.control_tag, config.data_key) == ("xray", "bones", "x_ray-1")
    assert config.labels == ("Tibia", "Femur")


def test_regions_use_the_alias_and_the_value_is_accepted() -> None:
    config = parse(view(IMAGE, BRUSH.replace("<Label", '<Label value="Left" alias="L"/><Label')))
    assert config.labels == ("L", "Bone")
    assert config.indices == {"L": 1, "Left": 1, "Bone": 2}


def test_a_value_that_is_another_labels_alias_means_that_label() -> None:
    labels = '<Label value="A" alias="B"/><Label value="B" alias="A"/>'
    config = parse(view(IMAGE, f'<BrushLabels name="mask" toName="image">{labels}</BrushLabels>'))
    assert config.indices == {"B": 1, "A": 2}


def test_duplicate_labels_count_once_and_empty_ones_are_ignored() -> None:
    config = parse(view(IMAGE, BRUSH.replace("<Label", '<Label/><Label value="Bone"/><Label')))
    assert config.labels == ("Bone",)


def tag(kind: str, name: str, *labels: str, image: str = "image", **attributes: str) -> str:
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    inside = "".join(f'<Label value="{label}"/>' for label in labels)
    return f'<{kind} name="{name}" toName="{image}"{written}>{inside}</{kind}>'


def test_all_controls_over_the_image_are_served_and_labels_of_one_name_are_one() -> None:
    config = parse(
        view(
            IMAGE,
            tag("RectangleLabels", "box", "Bone", "Plate"),
            tag("EllipseLabels", "oval", "Bone"),
            tag("VectorLabels", "path", "Nail", closable="true"),
            tag("PolygonLabels", "outline", "Bone", "Nail"),
            tag("BitmaskLabels", "bitmap", "Skin"),
            tag("BrushLabels", "mask", "Skin"),
        )
    )
    assert config.labels == ("Bone", "Plate", "Nail", "Skin")
    assert config.control_tag == "box"
    assert [control.kind for control in config.controls] == [
        "rectanglelabels",
        "ellipselabels",
        "vectorlabels",
        "polygonlabels",
        "bitmasklabels",
        "brushlabels",
    ]
    assert not config.faults
    # A label is written in the most exact form that the config offers.
    assert [config.control_of(label).name for label in config.labels] == ["outline", "box", "outline", "mask"]


def test_labels_beside_drawing_tags_are_controls_too() -> None:
    config = parse(
        view(
            IMAGE,
            tag("Labels", "kind", "Bone", "Nail"),
            '<Rectangle name="box" toName="image"/><Brush name="brush" toName="image"/>',
            '<MagicWand name="wand" toName="image"/><Polygon name="else" toName="other"/>',
            '<Text name="text" value="$text"/>' + tag("Labels", "words", "Verb", image="text"),
        )
    )
    assert config.labels == ("Bone", "Nail")
    assert [(each.name, each.kind, each.labels_tag) for each in config.controls] == [
        ("box", "rectangle", "kind"),
        ("brush", "brush", "kind"),
        ("wand", "magicwand", "kind"),
    ]
    assert config.control_of("Bone").name == "brush"
    assert not config.faults


def test_the_image_of_the_first_usable_control_is_served() -> None:
    config = parse(
        view(
            IMAGE,
            '<Image name="back" value="$back"/><Image name="list" valueList="$list"/>',
            tag("BrushLabels", "none"),
            tag("BrushLabels", "many", "Bone", image="list"),
            tag("PolygonLabels", "outline", "Nail", image="back"),
            tag("BrushLabels", "mask", "Bone"),
            tag("EllipseLabels", "oval", "Ring", image="back"),
        )
    )
    assert (config.image_tag, config.data_key) == ("back", "back")
    assert [control.name for control in config.controls] == ["outline", "oval"]
    assert config.labels == ("Nail", "Ring")
    assert config.faults == (
        '<BrushLabels name="none"> has no labels: add at least one, such as <Label value="Bone"/>.',
        '<Image name="list"> shows a list of images: use a single key of the task data, such as '
        'value="$image".',
        'Only <Image name="back"> is served: regions on <Image name="image"> are ignored.',
    )


def test_further_labels_from_the_task_data_are_reported() -> None:
    config = parse(view(IMAGE, BRUSH.replace("<BrushLabels", '<BrushLabels value="$labels"')))
    assert config.labels == ("Bone",)
    (fault,) = config.faults
    assert "from the task data" in fault


def test_a_control_can_be_skipped() -> None:
    config = parse(
        view(IMAGE, tag("RectangleLabels", "box", "Crop", model_skip="true"), tag("BrushLabels", "m", "Bone"))
    )
    assert config.labels == ("Bone",)
    assert not config.faults


def test_predicted_values_are_other_names_of_a_label() -> None:
    labels = (
        '<Label value="Bone" alias="B" predicted_values="tibia, femur,Nail"/>'
        '<Label value="Nail" predicted_values="tibia,B"/>'
    )
    config = parse(view(IMAGE, f'<BrushLabels name="mask" toName="image">{labels}</BrushLabels>'))
    assert config.labels == ("B", "Nail")
    assert config.indices == {"B": 1, "Nail": 2, "Bone": 1, "tibia": 1, "femur": 1}


def test_vectors_that_cannot_be_closed_are_reported() -> None:
    config = parse(view(IMAGE, tag("VectorLabels", "path", "Bone"), BRUSH))
    assert [control.name for control in config.controls] == ["mask"]
    assert config.faults == ('<VectorLabels name="path"> draws no areas: add closable="true" to it.',)


def test_too_many_labels_in_all_controls_together_are_refused() -> None:
    parts = [
        tag("BrushLabels", "mask", *map(str, range(200))),
        tag("PolygonLabels", "p", *map(str, range(100, 300))),
    ]
    with pytest.raises(LabelConfigError, match="The labeling config has 300 labels: use at most 254"):
        parse(view(IMAGE, *parts))


def test_knobs_are_read_from_any_control_and_default_otherwise() -> None:
    assert parse(view(IMAGE, BRUSH)).knobs == Knobs(None, 1.0, None)
    config = parse(
        view(
            IMAGE,
            tag("PolygonLabels", "p", "Bone", model_tolerance="0", model_annotations="majority"),
            tag("BrushLabels", "mask", "Nail", MODEL_threshold=" 0.25 "),
        )
    )
    assert config.knobs == Knobs(threshold=0.25, tolerance=0.0, annotations="majority")
    assert not config.faults


WRONG_KNOBS = {
    "a threshold of one": ({"model_threshold": "1"}, 'model_threshold="1": give it a probability above 0'),
    "a threshold of zero": ({"model_threshold": "0"}, "give it a probability above 0 and below 1"),
    "a threshold that is not a number": (
        {"model_threshold": "nan"},
        "give it a probability above 0 and below 1",
    ),
    "a word": ({"model_tolerance": "fine"}, "give it a number of pixels from 0 to 100"),
    "infinity": ({"model_tolerance": "inf"}, "give it a number of pixels from 0 to 100"),
    "a strategy": ({"model_annotations": "best"}, "give it one of latest, majority, all"),
    "a floor above one": ({"model_mask_floor": "1.5"}, "give it a Dice from 0 to 1"),
    "a size in pixels": ({"model_smallest_region": "300"}, "give it a share of the image from 0 to 1"),
    "an unknown one": ({"model_treshold": "0.5"}, "the known knobs are model_threshold, model_tolerance"),
}


@pytest.mark.parametrize(("attributes", "advice"), WRONG_KNOBS.values(), ids=WRONG_KNOBS.keys())
def test_an_invalid_knob_is_reported_and_its_default_applies(attributes: dict[str, str], advice: str) -> None:
    config = parse(view(IMAGE, tag("BrushLabels", "mask", "Bone", **attributes)))
    assert config.knobs == Knobs()
    (fault,) = config.faults
    assert advice in fault
    assert fault.startswith('<BrushLabels name="mask">')
    assert fault.endswith(".")


def test_of_two_tags_that_disagree_the_first_counts() -> None:
    parts = [
        tag("BrushLabels", "mask", "Bone", model_threshold="0.3"),
        tag("PolygonLabels", "p", "Nail", model_threshold="0.7"),
    ]
    config = parse(view(IMAGE, *parts))
    assert config.knobs.threshold == 0.3
    assert len(config.faults) == 1


UNUSABLE = {
    "no control": (view(IMAGE), "no tag to draw masks with: add <BrushLabels"),
    "nothing": (view(), "no tag to draw masks with: add <BrushLabels"),
    "no image": (view(BRUSH), 'add toName="image"'),
    "an unbound brush": (view(IMAGE, BRUSH.replace('"image"', '"other"')), 'add toName="image"'),
    "no toName": (view(IMAGE, BRUSH.replace('toName="image"', "")), 'add toName="image"'),
    "no name": (view(IMAGE, BRUSH.replace('name="mask"', "")), 'name="mask"'),
    "no labels": (view(IMAGE, '<BrushLabels name="mask" toName="image"/>'), "add at least one"),
    "labels from the data": (
        view(IMAGE, '<BrushLabels name="mask" toName="image" value="$labels"/>'),
        "write them into the config",
    ),
    "too many labels": (
        view(IMAGE, BRUSH.replace("<Label", "".join(f'<Label value="{n}"/>' for n in range(254)) + "<Label")),
        "255 labels: use at most 254",
    ),
    "a nested key": (view(IMAGE.replace("$image", "$data.image"), BRUSH), "more than one plain key"),
    "an indexed key": (view(IMAGE.replace("$image", "$images[0]"), BRUSH), "more than one plain key"),
    "a fixed image": (view(IMAGE.replace("$image", "http://host/a.png"), BRUSH), 'value="\\$image"'),
    "a bare dollar": (view(IMAGE.replace("$image", "$"), BRUSH), 'value="\\$image"'),
    "a list of images": (view(IMAGE.replace("value=", "valueList="), BRUSH), "a list of images"),
    "a list beside an image": (
        view(IMAGE.replace("/>", ' valueList="$list"/>'), BRUSH),
        "a list of images",
    ),
    "an image without value": (view('<Image name="image"/>', BRUSH), 'value="\\$image"'),
    "a magic wand alone": (
        view(IMAGE, tag("Labels", "kind", "Bone"), '<MagicWand name="wand" toName="image"/>'),
        'no predictions for <MagicWand name="wand">: add <Brush',
    ),
    "not XML": ("<View>", "not well-formed XML"),
    "an empty string": ("", "not well-formed XML"),
}


@pytest.mark.parametrize(("xml", "advice"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_config_raises_a_message_that_says_what_to_add(xml: str, advice: str) -> None:
    with pytest.raises(LabelConfigError, match=advice) as refused:
        parse(xml)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


BOMB = (
    '<!DOCTYPE View [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>' + view(IMAGE, BRUSH.replace("Bone", "&c;"))
)
OUTSIDE = '<!DOCTYPE View [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + view(
    IMAGE, BRUSH.replace("Bone", "&a;")
)


@pytest.mark.parametrize(
    "xml", [BOMB, OUTSIDE, '<!DOCTYPE View SYSTEM "http://host/a.dtd">' + view(IMAGE, BRUSH)]
)
def test_declared_entities_are_refused(xml: str) -> None:
    with pytest.raises(LabelConfigError, match="declares entities or a DTD"):
        parse(xml)


def test_a_tag_that_is_bound_to_several_images_is_named() -> None:
    images = IMAGE + '<Image name="back" value="$back"/>'
    both = tag("BrushLabels", "mask", "Bone", image="image, back")
    with pytest.raises(
        LabelConfigError, match=r'<BrushLabels name="mask"> is bound to several tags \(toName="'
    ):
        parse(view(images, both))
    config = parse(view(images, both, tag("PolygonLabels", "p", "Bone")))
    assert [control.name for control in config.controls] == ["p"]
    (fault,) = config.faults
    assert "is bound to several tags" in fault
    labelled = tag("Labels", "kind", "Bone") + '<Brush name="b" toName="image"/>'
    (fault,) = parse(view(images, labelled, '<Rectangle name="r" toName="image,back"/>')).faults
    assert fault.startswith('<Rectangle name="r"> is bound to several tags')


def test_answers_exclude_tasks_by_value_or_alias() -> None:
    choices = (
        '<Choices name="quality" toName="image" model_exclude="bad image, blurred"><Choice value="Good"/>'
        '<Choice value="Bad image"/><Choice value="Out of focus" alias="blurred"/></Choices>'
    )
    config = parse(view(IMAGE, BRUSH, choices))
    assert config.knobs.exclude == ("bad image", "blurred")
    assert config.exclusions == {
        ("quality", "Bad image"),
        ("quality", "Out of focus"),
        ("quality", "blurred"),
    }
    assert not config.faults
    on_the_control = BRUSH.replace("<BrushLabels ", '<BrushLabels model_exclude="Good" ')
    assert parse(view(IMAGE, on_the_control, choices.replace("model_exclude", "x"))).exclusions == {
        ("quality", "Good")
    }


def test_an_answer_that_excludes_nothing_is_reported() -> None:
    choices = '<Choices name="q" toName="image" model_exclude="bad"{}><Choice value="{}"/></Choices>'
    for other in (choices.format("", "good"), choices.format(' perRegion="true"', "bad")):
        config = parse(view(IMAGE, BRUSH, other))
        assert not config.exclusions
        (fault,) = config.faults
        assert 'model_exclude names "bad"' in fault
