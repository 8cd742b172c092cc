"""The results that `dsal experiment` prints: a table with a row for each arm, and the files written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_backend.cli.console import output

if TYPE_CHECKING:
    from rich.table import Table

    from model.research.experiment.report import Report


def print_report(report: Report, out: Path) -> None:
    """Print the arms' results, the DSC of full annotation if it was run, and the files with the rest."""
    console = output()
    console.print(_table(report.summary))
    bound = report.summary.get("full")
    if bound is not None:
        console.print(f"Full annotation: test DSC {bound['dsc']['mean']:.3f}", soft_wrap=True)
    console.print(
        f"{report.table}, {out / 'summary.json'} and {len(report.figures)} figures in {out / 'figures'}",
        soft_wrap=True,
    )


def _table(summary: dict[str, Any]) -> Table:
    from rich.table import Column, Table

    # Never truncate the names, however narrow the terminal.
    table = Table(
        Column("arm", no_wrap=True), "AUBC", "minus random", "p (Holm)", "to full − 0.01", "last DSC"
    )
    for arm, found in summary["arms"].items():
        difference = found.get("aubc_less_random")
        reached = found.get("to_full", {}).get("percent_of_pool")
        table.add_row(
            arm,
            f"{found['aubc']['mean']:.3f}",
            "" if difference is None else f"{difference['mean']:+.3f}",
            "" if difference is None else f"{difference['p_holm']:.3f}",
            "" if "to_full" not in found else "never" if reached is None else f"{reached:.0f} %",
            f"{found['rounds'][-1]['dsc']['mean']:.3f}",
        )
    return table
