"""HTTP connections to allowed hosts only, checked again on the connected address."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ml_backend.label_studio.images.hosts import HostRefusedError, ImageHosts

Check = Callable[[str, str], None]


class GuardedAdapter(HTTPAdapter):
    """Checks a host's addresses before connecting and again once connected, before anything is sent.

    Behind a proxy only names are checked, because the proxy resolves them.
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
        """Send the request; raises HostRefusedError if the host is not allowed."""
        url = request.url or ""
        host = urlsplit(url).hostname or ""
        if select_proxy(url, proxies) and not self._vouched and not self._hosts.allows_name(host):
            raise HostRefusedError(f"IMAGE_HOSTS does not list {host}")
        return super().send(request, stream, timeout, verify, cert, proxies)


def _guarded_pools(check: Check) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            _check_all(self.host, self.port, check)
            return _check_peer(super()._new_conn(), self.host, check)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            _check_all(self.host, self.port, check)
            return _check_peer(super()._new_conn(), self.host, check)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def _check_all(host: str, port: int, check: Check) -> None:
    """Check every address of a host, so that no connection to a refused one is attempted."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return  # Connecting will raise the error that the caller expects.
    for *_, address in found:
        check(host, str(address[0]))


def _check_peer(connection: socket.socket, host: str, check: Check) -> socket.socket:
    """Check the connected address: the name may resolve differently from the first check."""
    try:
        check(host, connection.getpeername()[0])
    except HostRefusedError:
        connection.close()
        raise
    return connection
