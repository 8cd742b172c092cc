"""Each form of address in a task's data, and whether the token is sent."""

from __future__ import annotations

import base64
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.images.sources import (
    AddressError,
    Kind,
    Source,
    covers,
    is_trusted,
    resolve,
    shown,
)

CONFIG = parse(default_config(["Bone"]))
STUDIO = "http://studio:8080"
UPLOADED = "/data/upload/1/0a1b2c3d-hand.png"
LOCAL = "/data/local-files/?d=hands%2Fleft%20one.png"
KEY = "s3://bucket/hands/left one.png"


def coded(address: str) -> str:
    return base64.urlsafe_b64encode(address.encode()).decode()


def found(value: Any, base: str = STUDIO, task: int = 7) -> Source:
    return resolve(task, {"image": value}, CONFIG, base)


@pytest.mark.parametrize("base", [STUDIO, f"{STUDIO}/", "https://studio/sub/path/"])
@pytest.mark.parametrize("path", [UPLOADED, "/data/upload/1/a b.png", LOCAL])
def test_files_of_label_studio_are_fetched_with_the_token(base: str, path: str) -> None:
    root = base.rstrip("/")
    subpath = root.partition("://")[2].partition("/")[2]
    for value in (path, f" {path}\n", f"{root}{path}", f"/{subpath}{path}" if subpath else path):
        source = found(value, base)
        assert (source.url, source.trusted) == (f"{root}{path}", root)
        assert source.kind is (Kind.LOCAL_FILE if path == LOCAL else Kind.UPLOAD)


@pytest.mark.parametrize("base", [STUDIO, "https://studio/sub/path"])
@pytest.mark.parametrize("path", [UPLOADED, LOCAL, f"/tasks/7/resolve/?fileuri={coded(KEY)}"])
@pytest.mark.parametrize("known_as", ["http://localhost:8080", "https://label.example.org/studio", "/studio"])
def test_the_host_name_that_browsers_use_does_not_matter(base: str, path: str, known_as: str) -> None:
    assert found(f"{known_as}{path}", base).url == f"{base}{path}"
    assert found(f"{known_as}{path}", base).trusted == base


@pytest.mark.parametrize("key", [KEY, "gs://bucket/ключ.png", "azure-blob://container/a.png"])
def test_storage_is_read_through_label_studio(key: str) -> None:
    expected = f"{STUDIO}/tasks/7/resolve/?fileuri={coded(key)}"
    sources = [found(key), found(f"/tasks/7/resolve/?fileuri={coded(key)}"), found(expected)]
    sources.append(found(f"{STUDIO}/tasks/7/presign/?fileuri={coded(key)}"))
    for source in sources:
        assert source.trusted == STUDIO
        assert source.kind is Kind.STORAGE
        assert source.shown == key
        assert source.cache_key == key
    assert {source.url for source in sources[:3]} == {expected}


def test_a_storage_address_of_another_task_is_fetched_as_is_and_cached_apart() -> None:
    source = found(f"/tasks/8/resolve/?fileuri={coded(KEY)}")
    assert source.url == f"{STUDIO}/tasks/8/resolve/?fileuri={coded(KEY)}"
    assert source.cache_key != found(KEY).cache_key


def test_percent_encoded_storage_addresses_of_older_versions_are_read() -> None:
    assert found("/tasks/7/presign/?fileuri=s3%3A%2F%2Fbucket%2Fa.png").shown == "s3://bucket/a.png"


@pytest.mark.parametrize(
    "address",
    [
        f"{STUDIO}/other/a.png",
        f"{STUDIO}/data/../api/token",
        f"{STUDIO}/data/%2e%2e/api/token",
        f"{STUDIO}/data/%252e%252e/api/token",
        f"{STUDIO}/projects/1/settings",
        f"{STUDIO}/tasks/7/resolve/",
        f"{STUDIO}/user/login?next=/data/upload/1/a.png",
        "http://studio/data/upload/1/a.png",
        "https://studio:8080/data/upload/1/a.png",
        "http://studio:8080@evil.example/data/upload/1/a.png",
        "http://evil.example\\@studio:8080/data/upload/1/a.png",
        "http://evil.example/data/upload/1/a.png",
        "http://studio:8080.evil.example/data/upload/a.png",
        f"{STUDIO}/data/upload\t/../../api",
        "http://evil.example/data/local-files/?e=1",
        "http://evil.example/tasks/7/resolve/",
        "http://evil.example/mytasks/7/resolved?fileuri=x",
        "http://localhost:8080/data/upload/1/0a1b2c3d-..\\..\\api",
    ],
)
def test_any_other_address_is_fetched_without_the_token(address: str) -> None:
    assert found(address) == Source(address, None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        5,
        ["/data/upload/1/a.png"],
        "s3:///a.png",
        "file:///etc/passwd",
        "ftp://host/a.png",
        "/etc/passwd",
        "/api/current-user/token",
        "/data/local-files/",
        "/data/upload/../../api/current-user/token",
        "//evil.example/data/upload/1/a.png",
        "http://",
        "http://[::1",
        "a.png",
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(AddressError) as refused:
        found(value)
    assert "\n" not in str(refused.value)
    assert not str(refused.value).endswith(".")


def test_data_without_the_key_names_the_key() -> None:
    with pytest.raises(AddressError, match='under "image"'):
        resolve(12, {"picture": UPLOADED}, CONFIG, STUDIO)


@given(
    st.text(), st.sampled_from(["", STUDIO, f"{STUDIO}/data/upload/", "/data/upload/1/0a1b2c3d-", "s3://"])
)
def test_the_token_is_sent_to_label_studio_only_whatever_the_data(text: str, start: str) -> None:
    try:
        source = found(start + text)
    except AddressError:
        return
    if source.trusted is not None:
        assert source.trusted == STUDIO
        assert is_trusted(STUDIO, source.url)


@pytest.mark.parametrize(
    ("root", "url", "covered"),
    [
        ("http://a", "http://A:80/x", True),
        ("https://a:443/s", "https://a/s/x", True),
        ("https://a/s", "https://a/sx", False),
        ("https://a", "http://a/x", False),
        ("https://a", "https://a:x/x", False),
    ],
)
def test_covering_compares_scheme_host_port_and_path(root: str, url: str, covered: bool) -> None:
    assert covers(root, url) is covered


def test_secrets_of_an_address_are_not_shown() -> None:
    assert shown("https://me:password@host:1/a.png?signature=s#f") == "https://host:1/a.png"
    assert "AAAA" not in found("data:image/png;base64,AAAA").shown


def test_addresses_of_megabytes_are_not_remembered_and_only_images_may_be_so_long() -> None:
    """`urlsplit` keeps the last hundred texts that it has split; three calls with images kept 160 MB."""
    image = "data:image/png;base64," + "A" * 1_000_000
    tracemalloc.start()
    try:
        assert found(image).kind is Kind.INLINE
        with pytest.raises(AddressError, match="its address has 1000018 characters; at most 65536 are read"):
            found("https://x.example/" + "a" * 1_000_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
