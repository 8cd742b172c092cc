"""What the two packages export: that it is there, and that its documentation says what a user must know."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from types import ModuleType

import pytest

import ml_backend
import model

EXPORTED = [(package, name) for package in (model, ml_backend) for name in package.__all__]
SHAPE = r"\([A-Za-z0-9_+ ]+(?:, ?[A-Za-z0-9_+ ]+)*,?\)"


def documentation(value: object) -> str:
    """The docstring; of a class, also those of its constructor and its public methods."""
    texts = [inspect.getdoc(value) or ""]
    if inspect.isclass(value):
        members = [member for name, member in vars(value).items() if name == "__init__" or name[0] != "_"]
        texts += [inspect.getdoc(member) or "" for member in members]
    return "\n".join(texts)


def signatures(value: object) -> list[inspect.Signature]:
    functions = [value] if inspect.isfunction(value) else []
    if inspect.isclass(value):
        functions = [member for member in vars(value).values() if inspect.isfunction(member)]
        functions = [one for one in functions if one.__name__ == "__init__" or one.__name__[0] != "_"]
    return [inspect.signature(function) for function in functions]


def handles_arrays(value: object) -> bool:
    annotations = [
        str(part)
        for signature in signatures(value)
        for part in (signature.return_annotation, *(one.annotation for one in signature.parameters.values()))
    ]
    annotations += [str(one) for one in getattr(value, "__annotations__", {}).values()]
    return any("NDArray" in one or "Tensor" in one for one in annotations)


def raised(value: object) -> set[str]:
    """Names of the errors that its public code raises, apart from those of Python's protocols."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return set()
    private = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name[0] == "_" and node.name != "__init__"
        for inner in ast.walk(node)
    }
    found = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node not in private]
    calls = [error for error in found if error is not None]
    names = {call.func.id for call in calls if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    return names - {"AssertionError", "AttributeError", "NotImplementedError"}


@pytest.mark.parametrize(("package", "name"), EXPORTED, ids=lambda value: getattr(value, "__name__", value))
def test_an_exported_name_is_documented(package: ModuleType, name: str) -> None:
    value = getattr(package, name)
    text = documentation(value)
    first = (inspect.getdoc(value) or "").split("\n")[0]
    assert first.endswith((".", ":")), f"{name} needs a sentence that says what it is: {first!r}"
    assert not first.startswith(f"{name}("), f"{name} has the docstring that dataclass makes"
    if handles_arrays(value):
        assert re.search(SHAPE, text), f"{name} takes or gives arrays and does not say their shapes"
    missing = {error for error in raised(value) if error not in text}
    assert not missing, f"{name} raises {missing} and does not say so"


@pytest.mark.parametrize("package", [model, ml_backend])
def test_the_surface_is_what_is_exported(package: ModuleType) -> None:
    assert list(package.__all__) == sorted(package.__all__, key=lambda name: (name[0].islower(), name))
    assert dir(package) == sorted(package.__all__)
    with pytest.raises(AttributeError):
        _ = package.nothing_of_this_name


def test_importing_the_packages_loads_nothing_heavy() -> None:
    code = "import sys, model, ml_backend; print(sorted({'torch', 'flask', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
