"""Hosts that images may be fetched from: the setting IMAGE_HOSTS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: tuple[Network, ...] = (
    ipaddress.IPv4Network("169.254.0.0/16"),
    ipaddress.IPv4Network("100.100.100.200/32"),
    ipaddress.IPv6Network("fe80::/10"),
    ipaddress.IPv6Network("fd00:ec2::254/128"),
)
"""Addresses where clouds serve a machine's credentials: link-local networks and two addresses like them."""

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
        found = _unwrapped(address)
        if _within(found, self.networks):
            return
        if _within(found, METADATA):
            raise HostRefusedError(
                f"{host} resolves to {address}, a cloud metadata address that IMAGE_HOSTS does not list"
            )
        if not vouched and not self.allows_name(host):
            raise HostRefusedError(f"IMAGE_HOSTS lists neither {host} nor its address {address}")


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _unwrapped(address: str) -> Address:
    """The IPv4 address embedded in an IPv6 one, if any, because both lead to the same machine."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found.sixtofour or found
    return found
