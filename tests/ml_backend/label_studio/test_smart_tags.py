"""Smart tags in a labeling config: they are added beside what a person wrote, and change nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface import LabelInterface

from ml_backend.label_studio.config import (
    LabelConfigError,
    Role,
    add_smart_tags,
    default_config,
    parse,
    remove_smart_tags,
    smart_labels,
)
from tests.ml_backend.label_studio.regions.kinds import TAGS, control

WRITTEN = """<?xml version="1.0"?>
<View>
  <Image name="x&amp;y" value="$image"/>
  <View style="content: '>'">
    <!-- drawn by Ann’s team -->
    <BrushLabels name='mask' toName="x&amp;y">
      <Label value="Tibia" alias="b&lt;1" background="#fff" hotkey="q"/><Label value="Knochen é"/>
    </BrushLabels>
  </View>
  <Choices name="quality" toName="x&amp;y"><Choice value="bad"/></Choices>
</View>
"""
ADDED = """
    <KeyPointLabels name="dsal-points" toName="x&amp;y" smart="true" smartOnly="true">
      <Label value="Tibia" alias="b&lt;1" background="#fff"/>
      <Label value="Knochen é"/>
    </KeyPointLabels>
    <RectangleLabels name="dsal-boxes" toName="x&amp;y" smart="true" smartOnly="true">
      <Label value="Tibia" alias="b&lt;1" background="#fff"/>
      <Label value="Knochen é"/>
    </RectangleLabels>"""


def view(*tags: str) -> str:
    return f'<View><Image name="image" value="$image"/>{"".join(tags)}</View>'


def test_they_come_after_the_drawing_tag_and_all_else_stays_as_written() -> None:
    added = add_smart_tags(WRITTEN)
    before, after = WRITTEN.split("</BrushLabels>")
    assert added == f"{before}</BrushLabels>{ADDED}{after}"
    assert add_smart_tags(added) == added


@pytest.mark.parametrize("kind", TAGS)
def test_regions_are_read_as_before_and_prompts_as_prompts(kind: str) -> None:
    xml = view(control(kind, labels=("Bone", "Metal")))
    added = add_smart_tags(xml)
    before, after = parse(xml), parse(added)
    assert after.others == {"dsal-points": Role.PROMPT, "dsal-boxes": Role.PROMPT}
    assert replace(after, others=before.others) == before
    assert not after.faults
    assert not smart_labels(added, after).missing(after)
    assert smart_labels(xml, before).missing(before) == ("Bone", "Metal")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=("C", "Z")), min_size=1).filter(lambda name: name[0] != "$"),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
@settings(deadline=None)
def test_all_labels_have_points_and_boxes_whatever_their_names(labels: list[str]) -> None:
    added = add_smart_tags(default_config(labels))
    assert not smart_labels(added, parse(added)).missing(parse(added))
    assert add_smart_tags(added) == added
    assert remove_smart_tags(added) == default_config(labels)


def test_removing_them_leaves_what_a_person_wrote() -> None:
    assert remove_smart_tags(add_smart_tags(WRITTEN)) == WRITTEN
    assert remove_smart_tags(WRITTEN) == WRITTEN


def test_label_studio_finds_the_config_valid() -> None:
    LabelInterface(add_smart_tags(default_config(["Tibia", "Femur & co <1>"]))).validate()


def test_a_label_that_was_added_later_gets_its_points_and_boxes() -> None:
    added = add_smart_tags(default_config(["Bone"]))
    later = added.replace("</BrushLabels>", '  <Label value="Metal"/>\n  </BrushLabels>')
    assert smart_labels(later, parse(later)).missing(parse(later)) == ("Metal",)
    assert add_smart_tags(later) == later.replace(
        "\n  </KeyPointLabels>", '\n    <Label value="Metal"/>\n  </KeyPointLabels>'
    ).replace("\n  </RectangleLabels>", '\n    <Label value="Metal"/>\n  </RectangleLabels>')
    emptied = view(control("brushlabels"), '<keypointlabels name="dsal-points" toName="image" smart="true"/>')
    assert '<keypointlabels name="dsal-points" toName="image" smart="true"><Label' in add_smart_tags(emptied)


def test_smart_tags_of_a_person_are_enough() -> None:
    labels = (
        '<Labels name="kind" toName="image"><Label value="Bone"/></Labels><Brush name="b" toName="image"/>'
    )
    smart = (
        '<KeyPoint name="p" toName="image" smart="true"/>'
        '<Rectangle name="r" toName="image" smartOnly="true"/>'
    )
    assert add_smart_tags(view(labels, smart)) == view(labels, smart)
    own = control("rectanglelabels", "r", smart="true")
    added = add_smart_tags(view(control("brushlabels"), own))
    assert "dsal-points" in added
    assert "dsal-boxes" not in added
    # Neither an ordinary tag nor one that is skipped draws prompts.
    for attributes in ({}, {"smart": "true", "model_skip": "true"}):
        other = control("rectanglelabels", "r", ("Metal",), **attributes)
        assert "dsal-boxes" in add_smart_tags(view(control("brushlabels"), other))


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        ("<View/>", "has no tag to draw masks with"),
        (control("brushlabels"), "is not bound to an <Image>"),
        (
            view(control("brushlabels"), '<Choices name="dsal-boxes" toName="image"/>'),
            'has a <Choices name="dsal-boxes">, which is no smart <RectangleLabels> over its image',
        ),
        (
            view(control("brushlabels"), control("rectanglelabels", "dsal-boxes", ("Metal",))),
            'has a <RectangleLabels name="dsal-boxes">, which is no smart',
        ),
        (
            view(control("brushlabels"), 2 * '<KeyPoint name="dsal-points" toName="image"/>'),
            'has 2 tags with the name "dsal-points"',
        ),
        ('<!DOCTYPE View [<!ENTITY a "b">]>' + view(control("brushlabels")), "declares entities"),
    ],
)
def test_a_config_to_which_they_cannot_be_added_is_refused_in_one_sentence(xml: str, said: str) -> None:
    with pytest.raises(LabelConfigError) as refused:
        add_smart_tags(xml)
    assert said in str(refused.value)
    assert str(refused.value).endswith(".")
