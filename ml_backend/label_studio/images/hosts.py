"""Hosts that images may be fetched from: the setting IMAGE_HOSTS."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: tuple[Network, ...] = (
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv4Network("100.100.100.200/32"),  # Alibaba Cloud
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure
    ipaddress.IPv4Network("192.0.0.192/32"),  # Oracle Cloud
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv6Network("fd00:ec2::/32"),  # AWS; ::254 serves metadata, ::23 the identities of pods
    ipaddress.IPv6Network("fd20:ce::254/128"),  # Google Cloud
    ipaddress.IPv6Network("fd00:c1::a9fe:a9fe/128"),  # Oracle Cloud
    ipaddress.IPv6Network("fd00:a9fe:a9fe::1/128"),  # Akamai
    ipaddress.IPv6Network("fd00:42::42/128"),  # Scaleway
    ipaddress.IPv6Network("fd00:100::100:200/128"),  # Alibaba Cloud
)
"""Addresses where clouds serve a machine's credentials: link-local networks and others like them."""
METADATA_NAMES = (
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
)
"""Names of such addresses, which a proxy would resolve."""

_NAME = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", re.ASCII)


class HostRefusedError(Exception):
    """Images may not be fetched from this host; the message is a clause without a full stop."""


@dataclass(frozen=True)
class ImageHosts:
    """The hosts that images may be fetched from; Label Studio itself is always allowed.

    Without entries every host is allowed, including private ones, where hospitals keep their images. Cloud
    metadata addresses are allowed only if a network that contains them is listed.
    """

    names: tuple[str, ...] = ()
    """Host names; "*.example.org" means all subdomains of example.org."""
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ImageHosts:
        """Read names, addresses and networks, separated by commas or spaces.

        Raises:
            ValueError: an entry is none of these, for instance an address with scheme or port.
        """
        names, networks = [], []
        for entry in re.split(r"[,\s]+", text.strip().lower()):
            network = _network(entry)
            if network is not None:
                networks.append(network)
            elif _NAME.fullmatch(entry):
                names.append(entry)
            elif entry:
                raise ValueError(
                    f'"{entry}" is not a host: write names such as pacs.example.org or *.example.org, '
                    "addresses, or networks such as 10.0.0.0/8, without scheme and port."
                )
        return cls(tuple(names), tuple(networks))

    @property
    def is_open(self) -> bool:
        """Whether every host is allowed."""
        return not self.names and not self.networks

    def allows_name(self, host: str) -> bool:
        """Whether a host is allowed by its name, whatever its address."""
        name = host.lower().rstrip(".")
        return self.is_open or any(
            name.endswith(listed[1:]) if listed.startswith("*.") else name == listed for listed in self.names
        )

    def check(self, host: str, address: str, *, vouched: bool = False) -> None:
        """Check that a host is allowed at the address that its name resolves to.

        Args:
            host: its name in the address of the image.
            address: IP address of the connection.
            vouched: Label Studio redirected here, so the host need not be listed.

        Raises:
            HostRefusedError: it is not allowed.
        """
        found = ipaddress.ip_address(address.partition("%")[0])
        inside = embedded(found)
        if _within(found, self.networks):
            return
        if any(_within(one, METADATA) and not _within(one, self.networks) for one in (found, *inside)):
            raise HostRefusedError(
                f"{host} resolves to {address}, a cloud metadata address that IMAGE_HOSTS does not list"
            )
        if any(_within(one, self.networks) for one in _same_machine(found)):
            return
        if not vouched and not self.allows_name(host):
            raise HostRefusedError(f"IMAGE_HOSTS lists neither {host} nor its address {address}")

    def check_unresolved(self, host: str, *, vouched: bool = False) -> None:
        """Check a host that a proxy will resolve: by its name, or as an address in any spelling.

        Raises:
            HostRefusedError: it is not allowed.
        """
        address = literal(host)
        if address is not None:
            self.check(host, address, vouched=vouched)
        elif host.lower().rstrip(".") in METADATA_NAMES and host.lower().rstrip(".") not in self.names:
            raise HostRefusedError(f"{host} is the name of a cloud metadata address")
        elif not vouched and not self.allows_name(host):
            raise HostRefusedError(f"IMAGE_HOSTS does not list {host}")


def literal(host: str) -> str | None:
    """The address that a host is in any spelling that a resolver takes: `0x7f.1`, `2130706433`; else None."""
    try:
        return str(ipaddress.ip_address(host.strip("[]").partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def embedded(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 one may lead to, in all forms that systems translate or tunnel.

    IPv4-mapped, -compatible and -translated (RFC 4291, 2765), 6to4 (3056), Teredo (4380: server and client),
    ISATAP (5214), NAT64 (6052) under its well-known prefix and, with each length, under the local one (8215).
    """
    if not isinstance(address, ipaddress.IPv6Address):
        return ()
    bits = int(address)
    last = bits & 0xFFFFFFFF
    found: list[int] = []
    if bits >> 32 in (0, 0xFFFF, 0xFFFF << 16, 0x64FF9B << 64) and bits > 1:
        found.append(last)
    if address.sixtofour is not None:
        found.append(int(address.sixtofour))
    if address.teredo is not None:
        found += [int(one) for one in address.teredo]
    if (bits >> 32) & 0xFCFFFFFF == 0x5EFE:
        found.append(last)
    if address in _LOCAL_NAT64:
        # Bits 64 to 71 are left out of the address (RFC 6052, 2.2).
        after = bits & ((1 << 56) - 1)
        found.append((bits >> 64 & 0xFFFF) << 16 | after >> 40)
        found.append((bits >> 64 & 0xFF) << 24 | after >> 32)
        found.append(after >> 24)
        found.append(last)
    return tuple(ipaddress.IPv4Address(one) for one in found)


_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")


def _same_machine(address: Address) -> tuple[Address, ...]:
    """The IPv4 address that is the same machine as a mapped or 6to4 one, so that listing it lists both."""
    if isinstance(address, ipaddress.IPv6Address):
        found = address.ipv4_mapped or address.sixtofour
        return () if found is None else (found,)
    return ()


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
