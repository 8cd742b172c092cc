"""HTTP connections to allowed hosts only: a name is resolved once, checked, and used as it was checked."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ml_backend.label_studio.images.hosts import ImageHosts

Check = Callable[[str, str], None]


class GuardedAdapter(HTTPAdapter):
    """Checks all addresses of a host and connects to one of them, without asking for the name again.

    TLS and the header `Host` go by the name. Behind a proxy, which resolves names, names are checked, and
    addresses that are written as such.
    """

    def __init__(self, hosts: ImageHosts, *, vouched: bool) -> None:
        self._hosts = hosts
        self._vouched = vouched
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use connection pools that check addresses."""
        super().init_poolmanager(*args, **kwargs)

        def check(host: str, address: str) -> None:
            self._hosts.check(host, address, vouched=self._vouched)

        self.poolmanager.pool_classes_by_scheme = _guarded_pools(check)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send the request; raises `HostRefusedError` if the host is not allowed."""
        url = request.url or ""
        host = urlsplit(url).hostname or ""
        if select_proxy(url, proxies):
            self._hosts.check_unresolved(host, vouched=self._vouched)
        return super().send(request, stream, timeout, verify, cert, proxies)


def guarded_session() -> requests.Session:
    """A session for addresses that people have written elsewhere; it refuses those of cloud metadata.

    Requests raise `HostRefusedError` for such an address, before a connection is made.
    """
    session = requests.Session()
    guard = GuardedAdapter(ImageHosts(), vouched=False)
    session.mount("http://", guard)
    session.mount("https://", guard)
    return session


def _guarded_pools(check: Check) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn, check)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, super()._new_conn, check)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def _connected(
    connection: HTTPConnection, connect: Callable[[], socket.socket], check: Check
) -> socket.socket:
    """A socket to the first address of the connection's host that answers; none is tried unless all pass.

    `connect` resolves what it connects to, so for its time the host is the address: an address stays what it
    is, while a name might resolve differently from the check.
    """
    name = connection._dns_host
    addresses = _resolved(connection, name)
    for address in addresses:
        check(name, address)
    refused: urllib3.exceptions.HTTPError | None = None
    for address in addresses:
        connection._dns_host = address
        try:
            return connect()
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            refused = error
        finally:
            connection._dns_host = name
    raise refused or urllib3.exceptions.NewConnectionError(connection, f"{name} has no address")


def _resolved(connection: HTTPConnection, name: str) -> list[str]:
    """The addresses of a host, with the zones of link-local ones."""
    try:
        found = socket.getaddrinfo(name.strip("[]"), connection.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise urllib3.exceptions.LocationParseError(f"{name}, whose label is empty or too long") from error
    except OSError as error:
        failure = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        raise urllib3.exceptions.NameResolutionError(name, connection, failure) from error
    return list(dict.fromkeys(_written(address) for *_, address in found))


def _written(address: tuple[Any, ...]) -> str:
    zone = address[3] if len(address) > 3 else 0
    return f"{address[0]}%{zone}" if zone and "%" not in address[0] else str(address[0])
