"""Hostile cards, safetensors headers and manifests: one sentence, and no memory for what they only claim."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
from pathlib import Path
from typing import Any

import pytest

from ml_backend.store.weights import MANIFEST, WeightStore, WeightStoreError
from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.weights import (
    CARD_FILE,
    LARGEST_CARD,
    WEIGHTS_FILE,
    Card,
    WeightsError,
    load_version,
    save_version,
)

MEGABYTES = 200
"""By how much a file of a few bytes may let the memory of the process grow."""


@pytest.fixture
def version(tmp_path: Path) -> Path:
    network = NetworkSettings(classes=2, width=2, levels=3)
    card = Card("a version", ("Bone",), network, PreprocessingSettings(size=64))
    save_version(tmp_path / "version", DeeplySupervisedUNet(network), card)
    return tmp_path / "version"


def refused(version: Path) -> str:
    """The sentence with which a version is refused."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WeightsError) as error:
        load_version(version)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEGABYTES * 1000, f"{grown / 1000:.0f} MB"
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"format": ' + "9" * 10_000 + "}",
        "[1]",
        "null",
        '"card"',
        '{"format": 1e400}',
        '{"format": NaN}',
        "\ufeff{}",
        " " * (LARGEST_CARD + 1),
    ],
    ids=lambda text: text[:12].strip() or "spaces",
)
def test_a_card_that_is_none_is_refused(version: Path, text: str) -> None:
    (version / CARD_FILE).write_text(text)
    refused(version)


NETWORKS: tuple[Any, ...] = (
    {"width": 2**20},
    {"width": 2**62},
    {"levels": 2**40},
    {"levels": 31},
    {"classes": 10**9},
    {"classes": True},
    {"width": 2.0},
    {"norm": ["batch"]},
    {"norm": "__import__('os')"},
    {"dropout": float("nan")},
    {"prompts": "yes"},
)
FIELDS: tuple[dict[str, Any], ...] = (
    *({"network": {"classes": 2, "width": 2, "levels": 3, **one}} for one in NETWORKS),
    {"network": []},
    {"labels": "B"},
    {"labels": [["Bone"]]},
    {"labels": [None]},
    {"labels": {"Bone": 1, "Other": 2}},
    {"name": {"$ref": "#"}},
    {"metrics": [["a"]]},
    {"metrics": {"validation_dsc": "0.9"}},
    {"labels_dsc": {"Bone": []}},
    {"preprocessing": {"size": 10**30}},
    {"preprocessing": {"size": "64"}},
    {"preprocessing": None},
    {"loss": {"final": float("inf")}},
    {"loss": "all"},
    {"training": 1},
    {"stored": "pickle"},
    {"sha256": None},
    {"parent": 7},
)


@pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: json.dumps(fields)[:60])
def test_a_card_with_an_absurd_field_is_refused(version: Path, fields: dict[str, Any]) -> None:
    card = json.loads((version / CARD_FILE).read_text())
    (version / CARD_FILE).write_text(json.dumps(card | fields))
    refused(version)


def header(text: str | bytes, *, length: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file with this header, which may lie about its length."""
    encoded = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


def tensor(shape: list[Any], offsets: list[Any], kind: str = "F32") -> str:
    return json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": offsets}})


FILES = {
    "nothing": b"",
    "cut off": b"\x10\0\0",
    "length beyond the file": header("{}", length=2**63 - 1),
    "length of all bits": header("{}", length=2**64 - 1),
    "a header of 100 MB that is not there": header("{}", length=10**8),
    "no JSON": header("{{{{"),
    "no UTF-8": header(b"\xff\xfe{}"),
    "a list": header("[]"),
    "deeply nested": header('{"a":' * 50_000),
    "a tensor beyond the file": header(tensor([10**9], [0, 4 * 10**9])),
    "a product that overflows": header(tensor([2**32, 2**32, 2], [0, 8]), data=b"\0" * 8),
    "offsets the wrong way round": header(tensor([2], [8, 0]), data=b"\0" * 8),
    "negative offsets": header(tensor([2], [-8, 0]), data=b"\0" * 8),
    "a negative shape": header(tensor([-2], [0, 8]), data=b"\0" * 8),
    "an unknown type": header(tensor([2], [0, 8], "PICKLE"), data=b"\0" * 8),
    "two tensors in one place": header(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        data=b"\0" * 8,
    ),
    "a hole": header(tensor([1], [4, 8]), data=b"\0" * 8),
    "a tensor of another network": header(tensor([2], [0, 8]), data=b"\0" * 8),
    "no tensor": header("{}"),
    "pickle": b"\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_weights_that_are_none_are_refused_though_their_checksum_is_right(
    version: Path, content: bytes
) -> None:
    card = json.loads((version / CARD_FILE).read_text())
    (version / WEIGHTS_FILE).write_bytes(content)
    (version / CARD_FILE).write_text(json.dumps(card | {"sha256": hashlib.sha256(content).hexdigest()}))
    refused(version)


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"null", b"7", b'{"a": 1}', b'{"a": null}', b"[" * 100_000, b"\xff", b'{"": "x"}'],
    ids=lambda manifest: repr(manifest[:12]),
)
def test_a_manifest_that_is_none_is_refused_though_its_name_is_right(tmp_path: Path, manifest: bytes) -> None:
    key = hashlib.sha256(manifest).hexdigest()
    folder = tmp_path / "store" / key
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(manifest)
    store = WeightStore(f"file://{tmp_path}/store", tmp_path / "cache")
    with pytest.raises(WeightStoreError):
        store.get(key)
    assert not store.is_whole(key)
    assert not store.can_give(key)
