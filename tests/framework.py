"""The framework `label_studio_ml`: how docs/operations.md starts it, and whether it is installed here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SCRIPT = "dsal_model.py"
MODEL = """\
from ml_backend.settings import Settings
from ml_backend.web.framework import model_class

DsalModel = model_class(Settings())
"""
CREATE = f"label-studio-ml create my_backend --script {SCRIPT}"
START = "label-studio-ml start my_backend --host 127.0.0.1 --port 9090"
"""The script and the commands exactly as documented; tests/packaging/test_readme.py compares them."""

_COMMAND = Path(sys.executable).with_name("label-studio-ml")


@cache
def missing() -> str:
    """Why tests that need the framework are skipped, naming what is missing; empty if nothing is."""
    if fault := _fault():
        return (
            f"The framework cannot be used here ({fault}): requirements-framework.txt says how to install it."
        )
    return ""


def _fault() -> str:
    if importlib.util.find_spec("label_studio_ml") is None:
        return "No module named 'label_studio_ml'"
    # The framework makes a file in MODEL_DIR, or in the working folder, as soon as it is imported.
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(
            [sys.executable, "-c", "import label_studio_ml.api, label_studio_ml.server"],
            cwd=folder,
            env={**os.environ, "MODEL_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    if probe.returncode != 0:
        return (probe.stderr.strip().splitlines() or ["it cannot be imported"])[-1]
    return "" if _COMMAND.exists() else f"No command {_COMMAND.name}"
