"""The machine this runs on: settings, device, engine, disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import Installation


def look_at_settings(installation: Installation) -> Iterator[Verdict]:
    """Name each wrong setting; the rest of the check takes its default."""
    for sentence in installation.wrong_settings:
        yield fault(sentence, "Mend it in the environment or in .env: no other command runs until then.")
    for sentence in installation.former_names:
        yield warning(sentence)
    if not installation.wrong_settings:
        yield ok("All can be read.")


def look_at_device(installation: Installation) -> Iterator[Verdict]:
    """Whether the device of the settings is here and computes."""
    import torch

    from model.training.device import TrainingDevice
    from model.training.settings import TrainingError

    settings = installation.settings
    try:
        found = TrainingDevice.find(settings.device, settings.precision).device
        torch.ones(2, device=found).sum().item()
    except (TrainingError, RuntimeError) as error:
        yield fault(
            f"DEVICE={settings.device} cannot be used: {str(error).splitlines()[0]}",
            "Set DEVICE=auto; or see to the driver, and in a container to the GPU (docs/operations.md).",
        )
        return
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else "the processor"
    yield ok(f"DEVICE={settings.device} is {name}.")


def look_at_engine(installation: Installation) -> Iterator[Verdict]:
    """Whether the engine of the settings is installed and runs on the device."""
    from model.engines import openvino_installed

    engine, device = installation.settings.engine, installation.settings.device
    if engine != "openvino":
        installed = "installed" if openvino_installed() else "not installed"
        yield ok(f"ENGINE={engine}; OpenVINO is {installed}.")
    elif not openvino_installed():
        yield fault(
            "ENGINE=openvino, and OpenVINO is not installed.",
            "Install requirements-openvino.txt, or set ENGINE=auto.",
        )
    elif device not in ("auto", "cpu"):
        yield fault(f"ENGINE=openvino does not run on DEVICE={device}.", "Set ENGINE=torch, or DEVICE=cpu.")
    else:
        yield ok("ENGINE=openvino; it is installed.")


def look_at_disk(installation: Installation) -> Iterator[Verdict]:
    """Whether MODEL_DIR has room."""
    settings = installation.settings
    usage = shutil.disk_usage(_existing(settings.model_dir))
    free = f"{usage.free / 2**30:.1f} GB are free where MODEL_DIR {settings.model_dir} is"
    if usage.free < settings.min_free_bytes:
        yield fault(
            f"Only {free}.",
            "Make room there; a smaller CACHE_BYTES or KEEP_VERSIONS needs less.",
        )
    else:
        yield ok(f"{free}.")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())
