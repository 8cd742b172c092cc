"""Rules by which a documented command is known to work; a command without a rule is an error.

A rule checks a command as far as is possible at once: `dsal` parses its arguments, make plans its target, a
service of Compose exists. What it does not run is run elsewhere, and it names the test that does.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import typer
from torch.distributed.run import get_args_parser
from typer.core import TyperGroup

from ml_backend.cli.app import app
from ml_backend.settings import Settings
from tests import framework
from tests.packaging import compose_file
from tests.packaging.compose_file import ROOT
from tests.packaging.test_requirements import PROJECT

OTHER_PROGRAMS = {("label-studio", "tar"), ("worker", "tar"), ("backend", "cat")} | {
    ("postgres", name) for name in ("psql", "pg_dump", "pg_restore")
}
COMPOSE_VERBS = {"up", "ps", "logs", "exec", "build", "run", "restart", "config", "stop", "down"}
RUN_BY = {
    "serve": "tests/loop/service.py",
    "worker": "tests/loop/fork_server.py",
    "connect": "tests/loop/test_commands.py",
    "disconnect": "tests/loop/test_disconnect.py",
    "import-dicom": "tests/label_studio/test_dicom_import.py",
    "export": "tests/loop/test_export.py",
    "status": "tests/loop/test_commands.py",
    "doctor": "tests/doctor/test_health.py",
    "reconcile": "tests/loop/test_reconcile.py",
    "projects": "tests/loop/test_projects.py",
    "projects archive": "tests/loop/test_projects.py",
    "projects restore": "tests/loop/test_projects.py",
    "projects purge": "tests/loop/test_projects.py",
    "versions": "tests/ml_backend/cli/test_versions.py",
    "publish": "tests/ml_backend/cli/test_versions.py",
    "rollback": "tests/ml_backend/cli/test_versions.py",
    "pause": "tests/ml_backend/cli/test_versions.py",
    "resume": "tests/ml_backend/cli/test_versions.py",
    "suspicious": "tests/loop/test_suspicious.py",
    "train": "tests/ml_backend/cli/test_folder.py",
    "score": "tests/ml_backend/cli/test_folder.py",
    "predict": "tests/ml_backend/cli/test_predict.py",
    "segment": "tests/ml_backend/cli/test_segment.py",
    "pretrain": "tests/ml_backend/cli/test_folder.py",
    "experiment": "tests/ml_backend/cli/test_experiment.py",
    "phantom": "tests/ml_backend/cli/test_folder.py",
    "demo": "tests/demos.py",
    "torchrun": "tests/ml_backend/cli/test_folder.py",
    "docker compose exec": "tests/packaging/test_compose_runs.py",
    "docker kill": "tests/compose/installation.py",
    "label-studio-ml": "tests/ml_backend/web/test_framework_start.py",
    "curl": "tests/ml_backend/page/test_api.py",
}
"""The test that runs a command, or the helper by which tests run it."""
WRITTEN = {
    "torchrun": "torch.distributed.run",
    "docker compose exec": "docker compose exec",
    "docker kill": "docker kill",
    "label-studio-ml": "CREATE",
}
"""How a command is written there, if not word by word in quotes."""


class UncheckedError(AssertionError):
    """A document has a command that no rule covers."""


def ran_elsewhere(command: str) -> None:
    """Check that the command has a test that runs it: one that has its words."""
    if command not in RUN_BY:
        raise UncheckedError(f"no test is known that runs {command}: name it in RUN_BY")
    source = (ROOT / RUN_BY[command]).read_text(encoding="utf-8")
    words = [WRITTEN[command]] if command in WRITTEN else [f'"{word}"' for word in command.split()]
    assert all(word in source for word in words), f"{RUN_BY[command]} does not run {command}"


def dsal(words: Sequence[str]) -> None:
    """The application accepts the arguments; files and folders that they name need not be there."""
    name, command, rest = _resolve(words)
    ran_elsewhere(name)
    try:
        with command.make_context(name, list(rest)):
            pass
    except typer.BadParameter as error:
        # Raised only after all options were recognised.
        if "does not exist" not in str(error):
            raise


def dsal_mention(words: Sequence[str]) -> None:
    """The command exists, and has the options; arguments and values may be missing in a sentence."""
    name, command, rest = _resolve(words)
    ran_elsewhere(name)
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    given = {word.split("=")[0] for word in rest if word.startswith("-")}
    assert given <= known, f"dsal {name} has no {given - known}"


@cache
def _application() -> Any:
    return typer.main.get_command(app)


def _resolve(words: Sequence[str]) -> tuple[str, Any, Sequence[str]]:
    """Name, command and remaining words, also of a command in a group."""
    command: Any = _application()
    path, rest = [], list(words)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        found = command.commands.get(rest[0])
        assert found is not None, f"dsal {' '.join(words)}: there is no command {rest[0]}"
        command = found
        path.append(rest.pop(0))
    return " ".join(path), command, rest


def make(words: Sequence[str]) -> None:
    """Make plans its targets, `dsal` accepts the options that are passed on, and named tests exist."""
    planned = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    for line in planned.stdout.splitlines():
        if line.startswith(".venv/bin/dsal "):
            dsal(shlex.split(line)[1:])
        if line.startswith(".venv/bin/pytest "):
            named = [word for word in shlex.split(line) if word.startswith("tests/")]
            assert all((ROOT / word).exists() for word in named), named


def docker(words: Sequence[str]) -> None:
    """Services, their programs and their folders are those of docker-compose.yml, which tests start."""
    if shlex.join(words) in ("kill", "stop", "pull"):
        ran_elsewhere("docker kill")
        return
    assert words[0] == "compose", words
    services = set(compose_file.raw()["services"])
    verb, *rest = words[1:]
    assert verb in COMPOSE_VERBS
    plain = [word for word in rest if not word.startswith("-")]
    if verb in ("exec", "run"):
        if "--entrypoint" in rest:
            program, service, *arguments = rest[rest.index("--entrypoint") + 1 :]
        else:
            service, program, *arguments = rest[rest.index(plain[0]) :]
        assert service in services
        ran_elsewhere("docker compose exec")
        if program == "dsal":
            dsal(arguments)
        else:
            assert (service, program) in OTHER_PROGRAMS
    elif "--scale" in rest:
        assert plain[0].split("=")[0] in services
    else:
        assert set(plain) - {"TORCH_INDEX_URL=ADDRESS", "PYTHON_IMAGE=NAME@DIGEST"} <= services


def pip(words: Sequence[str]) -> None:
    """What is installed exists: files, extras of this package, and what a requirement file names."""
    verb, *rest = words
    assert verb == "install"
    for before, word in pairwise(["", *rest]):
        ours = re.fullmatch(r"(?:\.|dsal)(?:\[(\w+)\])?", word)
        if before == "-r":
            # pins.txt is made by the command before; test_commands.py makes it.
            assert word == "pins.txt" or (ROOT / word).is_file()
        elif ours:
            assert ours[1] is None or ours[1] in PROJECT["optional-dependencies"]
        elif not word.startswith("-"):
            # On no registry: the file that lists its requirements names the same address.
            assert word in (ROOT / "requirements-framework.txt").read_text(encoding="utf-8")


def torchrun(words: Sequence[str]) -> None:
    """Its own options, and a command of `dsal` behind them."""
    given = get_args_parser().parse_args(list(words))
    assert given.no_python
    assert given.training_script == "dsal"
    ran_elsewhere("torchrun")
    dsal(given.training_script_args)


def setup(words: Sequence[str]) -> None:
    """The script installs these parts."""
    text = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    assert all(re.search(rf"^    {word}\) ", text, re.M) for word in words)


def label_studio_ml(words: Sequence[str]) -> None:
    """The start that the framework's own test makes, or its name."""
    given = shlex.join(["label-studio-ml", *words])
    assert any(whole.startswith(given) for whole in (framework.CREATE, framework.START))
    ran_elsewhere("label-studio-ml")


def python(words: Sequence[str]) -> None:
    """The script or module is there; `segment.py` is what `dsal export` writes beside a network."""
    name = words[0] if words[0] != "-m" else f"{words[1].replace('.', '/')}/__main__.py"
    assert name == "segment.py" or (ROOT / name).is_file(), name


def evaluated(words: Sequence[str]) -> None:
    """What is evaluated is a command of its own."""
    check(" ".join(words).removeprefix("$(").removesuffix(")"))


def cp(words: Sequence[str]) -> None:
    """What is copied is there."""
    assert (ROOT / words[0]).is_file()


def export(words: Sequence[str]) -> None:
    """The variable is a setting."""
    assert words[0].split("=")[0].lower() in Settings.model_fields


def run_by_name(command: str) -> Callable[[Sequence[str]], None]:
    """Nothing but that a test runs exactly this command."""
    return lambda _words: ran_elsewhere(command)


def only(*allowed: str) -> Callable[[Sequence[str]], None]:
    """These very words, which every reader knows or which test_commands.py runs."""

    def check(words: Sequence[str]) -> None:
        assert shlex.join(words) in allowed, words

    return check


RULES: dict[str, Callable[[Sequence[str]], None]] = {
    "dsal": dsal,
    "make": make,
    "docker": docker,
    "pip": pip,
    "torchrun": torchrun,
    "scripts/setup.sh": setup,
    "label-studio-ml": label_studio_ml,
    "python": python,
    "eval": evaluated,
    "cp": cp,
    "export": export,
    "curl": run_by_name("curl"),
    "git": only("clone ADDRESS dsal"),
    "cd": only("dsal"),
    "grep": only("-v '^python-dateutil==' requirements.txt"),
}
"""Rules by the program; `.venv/bin/` before it makes no difference."""
MENTIONS = {**RULES, "dsal": dsal_mention}


def check(line: str, rules: dict[str, Callable[[Sequence[str]], None]] = RULES) -> None:
    """Check a command by the rule of its program; UncheckedError if there is none."""
    program, *words = shlex.split(re.split(r"\s[<>]\s", line)[0])
    program = program.removeprefix(".venv/bin/")
    if program not in rules:
        raise UncheckedError(f"nothing checks this command: {line}")
    rules[program](words)


def is_command(code: str) -> bool:
    """Whether a piece of inline code is a command, and not only the name of a program or a file."""
    program, _, rest = code.partition(" ")
    return bool(rest) and program.removeprefix(".venv/bin/") in RULES
