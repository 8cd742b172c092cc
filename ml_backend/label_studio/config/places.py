"""Where the tags of a labeling config are in its text, for inserting others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.parsers import expat

from ml_backend.label_studio.config.markup import parse_xml


@dataclass(frozen=True)
class Place:
    """A tag in the text, as indices of characters.

    Attributes:
        tag: its tag name, as it is written.
        name: its `name` attribute, or empty.
        start: where its "<" is.
        closing: where its closing tag begins; `start` if it has none.
        end: after its last ">".
    """

    tag: str
    name: str
    start: int
    closing: int
    end: int

    @property
    def is_empty(self) -> bool:
        """Whether it is written as `<Tag/>`."""
        return self.closing == self.start


def places(xml: str) -> list[Place]:
    """All tags of a labeling config, in the order in which they end.

    Raises LabelConfigError if it is not XML, or declares entities or a DTD.
    """
    parse_xml(xml)
    text = xml.encode()
    parser = expat.ParserCreate()
    opened: list[tuple[str, int]] = []
    found: list[Place] = []

    def start(_tag: str, attributes: Mapping[str, str]) -> None:
        name = next((value for key, value in attributes.items() if key.lower() == "name"), "")
        opened.append((name, parser.CurrentByteIndex))

    def end(tag: str) -> None:
        name, begin = opened.pop()
        opening = _end_of_tag(text, begin)
        closing, last = begin, opening
        if text[opening - 2 : opening] != b"/>":
            closing = parser.CurrentByteIndex
            last = text.index(b">", closing) + 1
        found.append(Place(tag, name, *(len(text[:index].decode()) for index in (begin, closing, last))))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.Parse(xml, True)
    return found


def _end_of_tag(text: bytes, start: int) -> int:
    """The index after the ">" of the tag that starts there; an attribute may contain another one."""
    quote = 0
    for index in range(start, len(text)):
        byte = text[index]
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == ord(">"):
            return index + 1
    raise ValueError("The tag does not end.")
