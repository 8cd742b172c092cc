"""The rules of IMAGE_HOSTS, and their enforcement on connections."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import requests

from ml_backend.label_studio.images.guard import GuardedAdapter
from ml_backend.label_studio.images.hosts import HostRefusedError, ImageHosts
from tests.file_server import serve_folder


@pytest.mark.parametrize(
    ("listed", "host", "address", "vouched", "allowed"),
    [
        ("", "images.example.org", "93.184.216.34", False, True),
        ("", "pacs", "10.1.2.3", False, True),
        ("", "localhost", "127.0.0.1", False, True),
        ("", "metadata.google.internal", "169.254.169.254", False, False),
        ("", "metadata.google.internal", "169.254.169.254", True, False),
        ("", "mapped", "::ffff:169.254.169.254", False, False),
        ("", "six", "fe80::1%eth0", False, False),
        ("", "aws", "fd00:ec2::254", False, False),
        ("169.254.0.0/16", "camera", "169.254.7.7", False, True),
        ("pacs", "pacs", "10.1.2.3", False, True),
        ("PACS", "pacs", "10.1.2.3", False, True),
        ("pacs", "PACS.", "10.1.2.3", False, True),
        ("pacs", "other", "10.1.2.3", False, False),
        ("pacs", "s3.example.org", "93.184.216.34", True, True),
        ("*.example.org", "a.b.example.org", "10.1.2.3", False, True),
        ("*.example.org", "example.org", "10.1.2.3", False, False),
        ("*.example.org", "badexample.org", "10.1.2.3", False, False),
        ("10.0.0.0/8, 192.168.1.7", "anything", "10.1.2.3", False, True),
        ("10.0.0.0/8 192.168.1.7", "anything", "192.168.1.7", False, True),
        ("10.0.0.0/8", "anything", "192.168.1.7", False, False),
        ("[::1]", "::1", "::1", False, True),
    ],
)
def test_allowed_hosts(listed: str, host: str, address: str, vouched: bool, allowed: bool) -> None:
    expected = nullcontext() if allowed else pytest.raises(HostRefusedError, match=re.escape(host))
    with expected:
        ImageHosts.parse(listed).check(host, address, vouched=vouched)


@pytest.mark.parametrize("listed", ["http://host", "host:80", "a/b", "*", "*.", "ho st!", "10.0.0.0/99"])
def test_an_invalid_host_is_reported(listed: str) -> None:
    with pytest.raises(ValueError, match="is not a host: write names such as"):
        ImageHosts.parse(listed)


def guarded(listed: str) -> requests.Session:
    session = requests.Session()
    session.mount("http://", GuardedAdapter(ImageHosts.parse(listed), vouched=False))
    return session


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_connections_are_made_to_listed_hosts_only(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("here")
    with serve_folder(tmp_path) as url:
        address = f"{url.replace('127.0.0.1', name)}/a.txt"
        for listed in ("", name, "127.0.0.0/8, ::1"):
            with guarded(listed) as session:
                assert session.get(address, timeout=10).text == "here"
        for listed in ("example.org", "10.0.0.0/8"):
            with guarded(listed) as session, pytest.raises(HostRefusedError, match="lists neither"):
                session.get(address, timeout=10)


def test_an_unresolvable_name_raises_the_usual_error() -> None:
    with guarded("") as session, pytest.raises(requests.ConnectionError):
        session.get("http://nowhere.invalid/a.png", timeout=10)


def test_behind_a_proxy_names_are_still_checked(tmp_path: Path) -> None:
    with serve_folder(tmp_path) as proxy:
        for listed, status in (("", 404), ("pacs", 404), ("other", None)):
            with guarded(listed) as session:
                session.proxies = {"http": proxy}
                if status is None:
                    with pytest.raises(HostRefusedError):
                        session.get("http://pacs/a.png", timeout=10)
                else:
                    assert session.get("http://pacs/a.png", timeout=10).status_code == status
