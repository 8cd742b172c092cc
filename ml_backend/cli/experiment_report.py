"""What `dsal experiment` prints at its end: a row for each arm, and where the rest is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_backend.cli.console import answers

if TYPE_CHECKING:
    from rich.table import Table

    from model.research.experiment.report import Report


def tell(report: Report, out: Path) -> None:
    """Print how each arm did, the bound if there is one, and which files hold the rest."""
    console = answers()
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

    # Names are told whole, however narrow the terminal: they are what the reader looks for.
    table = Table(
        Column("arm", no_wrap=True), "AUBC", "less random", "p (Holm)", "to full − 0.01", "last DSC"
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
