"""Write the table of docs/settings.md from `ml_backend.settings`; run it with `.venv/bin/python`."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from ml_backend.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
START, END = "<!-- settings: scripts/settings_table.py writes this -->", "<!-- end of settings -->"


def default_of(name: str) -> str:
    """The default of one field as one would write it into the environment; empty where there is none."""
    default = Settings.model_fields[name].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return "" if default is None else str(default)


def table() -> str:
    """The Markdown table: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = default_of(name)
        rows.append(f"| `{name.upper()}` | {f'`{default}`' if default else ''} | {field.description} |")
    return "\n".join(rows)


def filled(page: str) -> str:
    """The page with the table between the two marks replaced by the present one."""
    before, rest = page.split(START)
    return f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
