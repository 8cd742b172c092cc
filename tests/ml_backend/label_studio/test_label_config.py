"""Labeling configs: what is served, and what a person reads when nothing can be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from ml_backend.label_studio.label_config import LabelConfigError, default_config, parse

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
            '<RectangleLabels name="box" toName="xray"><Label value="Box"/></RectangleLabels>',
            '<View><brushlabels name="bones" toname="xray"><View><Label value="Tibia"/></View>'
            '<Label value="Femur" background="red"/></brushlabels></View>',
            '<Image name="photo" value="$photo"/><image name="xray" value="$x_ray-1"/>',
        )
    )
    assert (config.image_tag, config.control_tag, config.data_key) == ("xray", "bones", "x_ray-1")
    assert config.labels == ("Tibia", "Femur")


def test_an_alias_is_what_regions_carry_and_the_value_is_understood() -> None:
    config = parse(view(IMAGE, BRUSH.replace("<Label", '<Label value="Left" alias="L"/><Label')))
    assert config.labels == ("L", "Bone")
    assert config.indices == {"L": 1, "Left": 1, "Bone": 2}


def test_a_value_that_is_another_labels_alias_means_that_label() -> None:
    labels = '<Label value="A" alias="B"/><Label value="B" alias="A"/>'
    config = parse(view(IMAGE, f'<BrushLabels name="mask" toName="image">{labels}</BrushLabels>'))
    assert config.indices == {"B": 1, "A": 2}


def test_repeated_and_empty_labels_count_once_and_never() -> None:
    config = parse(view(IMAGE, BRUSH.replace("<Label", '<Label/><Label value="Bone"/><Label')))
    assert config.labels == ("Bone",)


def test_the_first_usable_control_is_served_and_the_others_are_named() -> None:
    config = parse(
        view(
            IMAGE,
            '<BrushLabels name="empty" toName="image"/>',
            '<BrushLabels name="second" toName="text,image"><Label value="A"/></BrushLabels>',
            BRUSH,
        )
    )
    assert config.control_tag == "second"
    assert config.others == ("mask",)


UNUSABLE = {
    "no brush": (view(IMAGE), "no <BrushLabels> tag"),
    "nothing": (view(), "no <BrushLabels> tag"),
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
        "255 labels: keep to 254",
    ),
    "a nested key": (view(IMAGE.replace("$image", "$data.image"), BRUSH), "more than one plain key"),
    "an indexed key": (view(IMAGE.replace("$image", "$images[0]"), BRUSH), "more than one plain key"),
    "a fixed image": (view(IMAGE.replace("$image", "http://host/a.png"), BRUSH), 'value="\\$image"'),
    "a bare dollar": (view(IMAGE.replace("$image", "$"), BRUSH), 'value="\\$image"'),
    "a list of images": (view(IMAGE.replace("value=", "valueList="), BRUSH), "a list of images"),
    "an image without value": (view('<Image name="image"/>', BRUSH), 'value="\\$image"'),
    "no XML": ("<View>", "no well-formed XML"),
    "an empty text": ("", "no well-formed XML"),
}


@pytest.mark.parametrize(("xml", "advice"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_config_says_in_one_sentence_what_to_add(xml: str, advice: str) -> None:
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
