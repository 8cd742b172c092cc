"""HTTP connections that are made to allowed hosts only, whatever a name resolves to by then."""

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
    """Checks a host's addresses before the connection and again on it, before anything is sent.

    Behind a proxy the addresses are the proxy's business; names are still checked.
    """

    def __init__(self, hosts: ImageHosts, *, vouched: bool) -> None:
        self._hosts = hosts
        self._vouched = vouched
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have the pools make guarded connections."""
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
        """Send the request; raises HostRefusedError where the host may not be asked."""
        url = request.url or ""
        host = urlsplit(url).hostname or ""
        if select_proxy(url, proxies) and not self._vouched and not self._hosts.allows_name(host):
            raise HostRefusedError(f"IMAGE_HOSTS does not list {host}")
        return super().send(request, stream, timeout, verify, cert, proxies)


def _guarded_pools(check: Check) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            _check_all(self.host, self.port, check)
            return _checked(super()._new_conn(), self.host, check)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            _check_all(self.host, self.port, check)
            return _checked(super()._new_conn(), self.host, check)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


def _check_all(host: str, port: int, check: Check) -> None:
    """Check every address of a host, so that a refused one is not even knocked at."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return  # The connection fails in the same way, in words that the caller knows.
    for *_, address in found:
        check(host, str(address[0]))


def _checked(connection: socket.socket, host: str, check: Check) -> socket.socket:
    """Check where the connection really leads: the name may have been given another address meanwhile."""
    try:
        check(host, connection.getpeername()[0])
    except HostRefusedError:
        connection.close()
        raise
    return connection
