"""The rules of IMAGE_HOSTS, and their enforcement on connections."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.images.guard import GuardedAdapter
from ml_backend.label_studio.images.hosts import METADATA, HostRefusedError, ImageHosts
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
        ("", "azure", "168.63.129.16", False, False),
        ("", "oracle", "192.0.0.192", True, False),
        ("", "google", "fd20:ce::254", False, False),
        ("", "pods", "fd00:ec2::23", False, False),
        ("", "oracle", "fd00:c1::a9fe:a9fe", True, False),
        ("", "akamai", "fd00:a9fe:a9fe::1", False, False),
        ("", "scaleway", "fd00:42::42", False, False),
        ("", "alibaba", "fd00:100::100:200", False, False),
        ("", "pacs", "fd00:42::43", False, True),
        ("", "nat64", "64:ff9b::a9fe:a9fe", False, False),
        ("", "nat64", "64:ff9b::5db8:d822", False, True),
        ("", "compatible", "::a9fe:a9fe", False, False),
        ("", "localhost", "::1", False, True),
        ("a9fe::/16", "not-inside", "a9fe:a9fe::1", False, True),
        ("64:ff9b::/96", "nat64", "64:ff9b::a9fe:a9fe", False, True),
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


REFUSED = [one for one in METADATA if isinstance(one, ipaddress.IPv4Network)]
INSIDE: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda v4, _: 0xFFFF << 32 | v4,
    "compatible": lambda v4, _: v4,
    "translated": lambda v4, _: 0xFFFF << 48 | v4,
    "6to4": lambda v4, rest: 0x2002 << 112 | v4 << 80 | rest,
    "Teredo server": lambda v4, rest: 0x20010000 << 96 | v4 << 64 | rest >> 16,
    "Teredo client": lambda v4, rest: 0x20010000 << 96 | (rest >> 48) << 32 | (v4 ^ 0xFFFFFFFF),
    "ISATAP": lambda v4, rest: 0x2A00 << 112 | (rest & 0xFFFFFFFFFFFF) << 64 | 0x5EFE << 32 | v4,
    "ISATAP, global": lambda v4, rest: 0x2A00 << 112 | (rest & 0xFFFF) << 64 | 0x02005EFE << 32 | v4,
    "NAT64": lambda v4, _: 0x64FF9B << 96 | v4,
    "NAT64 /96": lambda v4, rest: 0x64FF9B0001 << 80 | (rest & 0xFFFF) << 64 | v4,
    "NAT64 /48": lambda v4, _: 0x64FF9B0001 << 80 | v4 >> 16 << 64 | (v4 & 0xFFFF) << 40,
    "NAT64 /56": lambda v4, _: 0x64FF9B0001 << 80 | v4 >> 24 << 64 | (v4 & 0xFFFFFF) << 32,
    "NAT64 /64": lambda v4, _: 0x64FF9B0001 << 80 | v4 << 24,
}


@given(
    st.sampled_from(REFUSED), st.integers(0, 2**32), st.integers(0, 2**80 - 1), st.sampled_from(list(INSIDE))
)
def test_no_form_of_a_metadata_address_is_allowed(
    network: ipaddress.IPv4Network, place: int, rest: int, form: str
) -> None:
    v4 = int(network[place % network.num_addresses])
    address = ipaddress.IPv6Address(INSIDE[form](v4, rest))
    for text in (str(address), address.exploded, str(address).upper(), f"{address}%eth0"):
        with pytest.raises(HostRefusedError):
            ImageHosts().check("host", text)
        with pytest.raises(HostRefusedError):
            ImageHosts().check_unresolved(f"[{text}]", vouched=True)


@given(st.sampled_from(REFUSED), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_no_spelling_of_a_metadata_address_gets_past_a_proxy(
    network: ipaddress.IPv4Network, place: int, random: Random
) -> None:
    v4 = int(network[place % network.num_addresses])
    cut = random.randrange(4)
    parts = [v4 >> 8 * (3 - index) & 255 for index in range(cut)] + [v4 & (1 << 8 * (4 - cut)) - 1]
    host = ".".join(random.choice([f"{part}", f"{part:#x}", f"0{part:o}"]) for part in parts)
    with pytest.raises(HostRefusedError):
        ImageHosts().check_unresolved(host, vouched=True)


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


def test_a_name_that_changes_its_address_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("here")
    asked: list[str] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "moves.example":
            return real(host, *rest, **more)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "169.254.169.254", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with serve_folder(tmp_path) as url, guarded("") as session:
        answer = session.get(f"{url.replace('127.0.0.1', 'moves.example')}/a.txt", timeout=10)
        assert answer.text == "here"
        assert asked == ["moves.example"]
        with pytest.raises(HostRefusedError, match="metadata"):
            session.get("http://moves.example:1/a.txt", timeout=10)


def test_one_refused_address_of_a_name_is_enough_and_nothing_is_connected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_folder(tmp_path) as url, guarded("") as session:
        port = int(url.rpartition(":")[2])
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in ("127.0.0.1", "192.0.0.192")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("A connection was tried."))
        with pytest.raises(HostRefusedError, match="metadata"):
            session.get(f"http://two.example:{port}/", timeout=10)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "metadata.google.internal"]
)
def test_metadata_is_not_asked_for_through_a_proxy(host: str, tmp_path: Path) -> None:
    with serve_folder(tmp_path) as proxy, guarded("") as session:
        session.proxies = {"http": proxy}
        with pytest.raises(HostRefusedError):
            session.get(f"http://{host}/latest", timeout=10)
