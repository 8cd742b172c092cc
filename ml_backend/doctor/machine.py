"""Checks of this machine: settings, device, engine and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import Installation


def check_settings(installation: Installation) -> Iterator[Verdict]:
    """Report each invalid setting; the other checks use its default."""
    for sentence in installation.wrong_settings:
        yield fault(sentence, "Correct it in the environment or in .env; until then no other command runs.")
    for sentence in installation.former_names:
        yield warning(sentence)
    if not installation.wrong_settings:
        yield ok("All are valid.")


def check_device(installation: Installation) -> Iterator[Verdict]:
    """Whether DEVICE exists and computes."""
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
            "Set DEVICE=auto, or check the driver and, in a container, access to the GPU "
            "(docs/operations.md).",
        )
        return
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else "the CPU"
    yield ok(f"DEVICE={settings.device} uses {name}.")


def check_engine(installation: Installation) -> Iterator[Verdict]:
    """Whether ENGINE is installed and runs on DEVICE."""
    from model.engines import openvino_installed

    engine, device = installation.settings.engine, installation.settings.device
    if engine != "openvino":
        installed = "installed" if openvino_installed() else "not installed"
        yield ok(f"ENGINE={engine}; OpenVINO is {installed}.")
    elif not openvino_installed():
        yield fault(
            "ENGINE=openvino, but OpenVINO is not installed.",
            "Install requirements-openvino.txt, or set ENGINE=auto.",
        )
    elif device not in ("auto", "cpu"):
        yield fault(f"ENGINE=openvino does not run on DEVICE={device}.", "Set ENGINE=torch, or DEVICE=cpu.")
    else:
        yield ok("ENGINE=openvino; OpenVINO is installed.")


def check_disk(installation: Installation) -> Iterator[Verdict]:
    """Whether the disk of MODEL_DIR has at least MIN_FREE_BYTES free."""
    settings = installation.settings
    usage = shutil.disk_usage(_existing(settings.model_dir))
    free = f"{usage.free / 2**30:.1f} GB are free on the disk of MODEL_DIR {settings.model_dir}"
    if usage.free < settings.min_free_bytes:
        yield fault(
            f"Only {free}.",
            "Free some space there, or lower CACHE_BYTES or KEEP_VERSIONS.",
        )
    else:
        yield ok(f"{free}.")


def _existing(path: Path) -> Path:
    """The path if it exists, else its nearest parent that does."""
    return next(each for each in (path, *path.parents) if each.exists())
