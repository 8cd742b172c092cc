"""Answers of annotators that exclude a task from training and validation, such as "bad image"."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from ml_backend.label_studio.config.markup import attribute, is_true, tags


def read_exclusions(
    root: ElementTree.Element, values: Sequence[str]
) -> tuple[frozenset[tuple[str, str]], tuple[str, ...]]:
    """(name of a <Choices> tag, value) of the answers, and a sentence for each value without a choice.

    Values are compared with values and aliases of the choices, in any case. Answers about a region say
    nothing about the image, so <Choices> tags with `perRegion="true"` are left out.
    """
    found: set[tuple[str, str]] = set()
    faults: list[str] = []
    for value in values:
        answers = [
            (attribute(tag, "name"), name)
            for tag in tags(root, "choices")
            if not is_true(tag, "perRegion")
            for choice in tags(tag, "choice")
            if value.casefold() in {each.casefold() for each in _names(choice)}
            for name in _names(choice)
        ]
        found.update(answers)
        if not answers:
            faults.append(
                f'model_exclude names "{value}", but no <Choices> tag about the image has that value: add '
                f'<Choice value="{value}"/> to one.'
            )
    return frozenset(found), tuple(faults)


def _names(choice: ElementTree.Element) -> tuple[str, ...]:
    """The names of a choice: Label Studio writes the alias if there is one."""
    return tuple(filter(None, (attribute(choice, "alias"), attribute(choice, "value"))))
