"""Resolving the image address in a task's data, in all its forms."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.decoding import storable

STORAGE_SCHEMES = ("s3", "gs", "azure-blob")
"""Schemes that only Label Studio can read, through the project's import storages."""

_INLINE = "data:"
LONGEST = 2**16
"""Characters of an address that is fetched; data URIs may be longer."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

_TRUSTED_PATHS = ("/data/", "/tasks/", "/projects/")
"""Paths where Label Studio serves files; the token is sent to no others."""

_OWN_PATH = re.compile(
    r"/(?:data/upload/\d+/[0-9a-f]{8}-[^/]+|data/local-files/?|(?:tasks|projects)/\d+/(?:resolve|presign)/?)$"
)
"""Paths specific to Label Studio, which prepends eight hexadecimal digits to an uploaded file's name."""

_NEEDED_QUERY = {"local-files": "d", "resolve": "fileuri", "presign": "fileuri"}


class AddressError(ValueError):
    """A task's data has no address that can be fetched; the message is a clause without a full stop."""


class Kind(StrEnum):
    """How an image is fetched."""

    UPLOAD = "upload"
    """From Label Studio, which stores it."""
    LOCAL_FILE = "local file"
    """From Label Studio, which serves it from a Local Files storage."""
    STORAGE = "storage"
    """From Label Studio, which redirects to the cloud storage or passes on its bytes."""
    WEB = "web"
    """From any server, without a token."""
    INLINE = "inline"
    """From the address itself, a data URI."""


@dataclass(frozen=True)
class Source:
    """The resolved address of an image."""

    url: str
    """Absolute http or https address, or the data URI."""
    trusted: str | None = None
    """Address of the Label Studio whose token is sent with the request; None to send no token."""
    kind: Kind = Kind.WEB
    name: str = ""
    """The address as people know it, such as s3://bucket/key, if that differs from `url`."""
    key: str = ""
    """Key in the project's cache, if that differs from `url`."""

    @property
    def shown(self) -> str:
        """`name` or the address for use in messages, without parts that may be secret."""
        return shown(self.name or self.url)

    @property
    def cache_key(self) -> str:
        """Key in the project's cache, the same for all addresses of one image."""
        return self.key or self.url


def resolve(task_id: int, data: Mapping[str, Any], config: LabelConfig, base_url: str) -> Source:
    """Resolve the image address of a task, and whether Label Studio's token is sent with the request.

    The token is sent only to `base_url`, and only to paths where it serves files. An absolute address with a
    path specific to Label Studio is fetched from `base_url` whatever its host: Label Studio writes the host
    name that browsers use into tasks, which may be unreachable or another machine from here.

    Args:
        task_id: Label Studio's id of the task, part of the URLs that read storages.
        data: the task's data.
        config: gives the key of the image in the task's data.
        base_url: address of Label Studio from here, with its subpath if it has one.

    Raises:
        AddressError: the task's data has no address that can be read.
    """
    value = data.get(config.data_key)
    if not isinstance(value, str) or not value.strip():
        raise AddressError(f'its data has no address under "{config.data_key}"')
    value, root = value.strip(), base_url.rstrip("/")
    # Not split: `urlsplit` keeps what it has split, here whole images.
    if value[: len(_INLINE)].lower() == _INLINE:
        return Source(value, kind=Kind.INLINE, name="the data URI")
    if len(value) > LONGEST:
        raise AddressError(f"its address has {len(value)} characters; at most {LONGEST} are read")
    parts = _split(value)
    if parts.scheme in STORAGE_SCHEMES and parts.netloc:
        encoded = base64.urlsafe_b64encode(value.encode()).decode()
        return Source(f"{root}/tasks/{task_id}/resolve/?fileuri={encoded}", root, Kind.STORAGE, value, value)
    own = _at_label_studio(task_id, value, parts, root)
    if own is not None:
        return own
    if parts.scheme in _DEFAULT_PORTS and parts.hostname:
        return Source(value, root if covers(f"{root}/data/", value) else None)
    known = ", ".join(f"{scheme}://" for scheme in STORAGE_SCHEMES)
    raise AddressError(
        f'"{storable(value[:80])}" cannot be read: it is not a file of Label Studio, an http(s) address, a '
        f"data URI, or one of {known}"
    )


def is_trusted(root: str, url: str) -> bool:
    """Whether the token of the Label Studio at `root` is sent with a request for `url`."""
    return any(covers(f"{root}{path}", url) for path in _TRUSTED_PATHS)


def covers(root: str, url: str) -> bool:
    """Whether `url` has the scheme, host and port of `root` and is below its path.

    False for anything that two parsers might read differently: backslashes, control characters, user names,
    and ".." in the path.
    """
    if "\\" in url or not url.isprintable():
        return False
    try:
        one, other = urlsplit(root), urlsplit(url)
        same = _origin(one) == _origin(other)
    except ValueError:
        return False
    has_parent_steps = ".." in unquote(unquote(other.path)).replace("\\", "/").split("/")
    inside = other.path.startswith(one.path.rstrip("/") + "/")
    return same and inside and not has_parent_steps and "@" not in other.netloc


def shown(url: str) -> str:
    """The address without user name, query and fragment, which may be secret; at most 200 characters."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid address"
    if not parts.netloc:
        return url[:200]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]


def _split(value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError:
        raise AddressError(f'"{storable(value[:80])}" is not a valid address') from None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _at_label_studio(task_id: int, value: str, parts: SplitResult, root: str) -> Source | None:
    """The source for an address that leads to Label Studio; None for other addresses."""
    path = _own_path(value, parts, root)
    if path is None:
        return None
    query = f"?{parts.query}" if parts.query else ""
    url = f"{root}{path}{query}"
    if not is_trusted(root, url):
        return None
    if "/local-files" in path:
        return Source(url, root, Kind.LOCAL_FILE, f'the local file "{_argument(parts.query, "d")}"')
    if path.startswith("/data/"):
        return Source(url, root, Kind.UPLOAD)
    name = _storage_address(_argument(parts.query, "fileuri"))
    same_task = path.startswith(f"/tasks/{task_id}/")
    return Source(url, root, Kind.STORAGE, name, name if same_task else "")


def _own_path(value: str, parts: SplitResult, root: str) -> str | None:
    """The path of an address relative to Label Studio's root; None if the address is not Label Studio's."""
    if parts.scheme not in ("", *_DEFAULT_PORTS) or bool(parts.scheme) is not bool(parts.netloc):
        return None
    subpath = urlsplit(root).path
    inside = subpath and parts.path.startswith(f"{subpath}/")
    path = parts.path.removeprefix(subpath) if inside else parts.path
    here = covers(f"{root}/data/", value) or not parts.netloc
    if here and path.startswith("/data/upload/"):
        return path
    found = _OWN_PATH.search(path)
    if found is None:
        return None
    needed = _NEEDED_QUERY.get(found.group().rstrip("/").rpartition("/")[2])
    return found.group() if needed is None or _argument(parts.query, needed) else None


def _argument(query: str, name: str) -> str:
    return parse_qs(query).get(name, [""])[0]


def _storage_address(fileuri: str) -> str:
    """The storage address that Label Studio encodes in its own: base64 or, formerly, percent-encoding."""
    try:
        return base64.urlsafe_b64decode(fileuri).decode()
    except (binascii.Error, ValueError):
        return unquote(fileuri)
