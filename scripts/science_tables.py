"""Write the tables of docs/science.md from the summaries beside it; run it with `.venv/bin/python`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from model.research.experiment.statistics import paired_difference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "science.md"
SUMMARIES = PAGE.with_suffix("")
MARK = re.compile(r"(<!-- (table|ablation|annotators) ([\w., -]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COMPARED_AT = 0.3
"""Largest share of the pool that is labelled in the first DSC column."""


def filled(page: str) -> str:
    """The text of the page with each marked table rebuilt from its summaries."""
    return MARK.sub(lambda found: f"{found[1]}{_written(found[2], found[3].split(', '))}\n{found[4]}", page)


def _written(kind: str, names: list[str]) -> str:
    summaries = {name: json.loads((SUMMARIES / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    if kind == "table":
        return arms_table(summaries[names[0]])
    return ablation_table(summaries) if kind == "ablation" else annotators_table(summaries)


def arms_table(summary: dict[str, Any]) -> str:
    """A table with a row for each arm of one experiment."""
    number = _round_at(summary)
    labels = _first(summary)["rounds"][number]["labels"]
    last = _first(summary)["rounds"][-1]["labels"]
    rows = [
        f"| arm | AUBC | minus `random`, 95 % | p | p, Holm | by effort | DSC, {labels} labels | "
        f"DSC, {last} labels | 5th percentile | HD95 | labels to full − 0.01 |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm, found in summary["arms"].items():
        difference, effort = found.get("aubc_less_random"), found.get("effort_aubc_less_random")
        rows.append(
            f"| `{arm}` | {found['aubc']['mean']:.4f} | {_difference(difference)} | "
            f"{'' if difference is None else _p(difference['p'])} | "
            f"{'' if difference is None else _p(difference['p_holm'])} | "
            f"{'' if effort is None else format(effort['mean'], '+.4f')} | "
            f"{found['rounds'][number]['dsc']['mean']:.4f} | {found['rounds'][-1]['dsc']['mean']:.4f} | "
            f"{found['dsc_5th_percentile']:.3f} | {found['hd95']:.1f} | {_reached(found.get('to_full'))} |"
        )
    bound = summary.get("full")
    if bound is not None:
        rows.append(
            f"| full annotation | | | | | | | {bound['dsc']['mean']:.4f} ({bound['labels']} labels) | "
            f"{bound['dsc_5th_percentile']['mean']:.3f} | {bound['hd95']['mean']:.1f} | |"
        )
    return _signed("\n".join(rows))


def ablation_table(summaries: dict[str, dict[str, Any]]) -> str:
    """A table with a row for each setting: the arm `random` on the seeds that all settings share.

    The difference from the first setting is given as the mean and by seed.
    """
    rows = ["| setting | seeds | AUBC of `random` | minus the first | last DSC |", "|---|---|---|---|---|"]
    shared = min(len(_areas(summary)) for summary in summaries.values())
    first = _areas(next(iter(summaries.values())))[:shared]
    for name, summary in summaries.items():
        found = summary["arms"]["random"]
        areas = _areas(summary)
        differences = [areas[seed] - first[seed] for seed in range(shared)]
        spread = f" ({', '.join(f'{value:+.4f}' for value in differences)})"
        shown = "" if areas[:shared] == first else f"{sum(differences) / shared:+.4f}{spread}"
        last = found["rounds"][-1]["dsc"]["by_seed"][:shared]
        rows.append(
            f"| {name} | {shared} | {sum(areas[:shared]) / shared:.4f} | {shown} | {sum(last) / shared:.4f} |"
        )
    return _signed("\n".join(rows))


def annotators_table(summaries: dict[str, dict[str, Any]]) -> str:
    """A table with a row for each way to label: the arm `random`, and its difference from the first way.

    The difference is over the seeds that both have. Shares are means over seeds and the rounds after the
    first, in which nothing is shown.
    """
    rows = [
        "| setting | seeds | AUBC | minus the first, 95 % | last DSC | validation says | accepted | drawn | "
        "rounds that kept their start |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first = _areas(next(iter(summaries.values())))
    for name, summary in summaries.items():
        areas, rounds = _areas(summary), summary["arms"]["random"]["rounds"]
        kept = [value for entry in rounds[1:] for value in entry["kept_start"]]
        rows.append(
            f"| {name} | {len(areas)} | {np.mean(areas):.4f} | {_from_first(areas, first)} | "
            f"{rounds[-1]['dsc']['mean']:.4f} | {_told(rounds[-1]['validation_dsc'])} | "
            f"{np.mean([entry['accepted'] for entry in rounds[1:]]):.0%} | {rounds[-1]['drawn']:.0%} | "
            f"{sum(kept):.0f} of {len(kept)} |"
        )
    return _signed("\n".join(rows)).replace("%", " %").replace("95  %", "95 %")


def _from_first(areas: list[float], first: list[float]) -> str:
    shared = min(len(areas), len(first))
    difference = paired_difference(np.array(areas[:shared]), np.array(first[:shared]))
    if difference is None or areas[:shared] == first[:shared]:
        return ""
    return _difference({"mean": difference.mean, "interval": [difference.low, difference.high]})


def _told(by_seed: list[float | None]) -> str:
    values = [value for value in by_seed if value is not None]
    if not values:
        return "too few to tell"
    return f"{np.mean(values):.4f}" + (
        "" if len(values) == len(by_seed) else f" ({len(values)} of {len(by_seed)} seeds)"
    )


def _areas(summary: dict[str, Any]) -> list[float]:
    areas: list[float] = summary["arms"]["random"]["aubc"]["by_seed"]
    return areas


def _signed(table: str) -> str:
    """The table with minus signs instead of hyphens before numbers."""
    return re.sub(r"(?<=[ (\[])-(?=\d)", "−", table)


def _first(summary: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(summary["arms"].values()))
    return found


def _round_at(summary: dict[str, Any]) -> int:
    """The last round whose labels are at most `COMPARED_AT` of the pool, rounded; else the first round."""
    most = round(COMPARED_AT * summary["images"]["training"])
    labels = [entry["labels"] for entry in _first(summary)["rounds"]]
    return max(number for number, count in enumerate(labels) if count <= most or number == 0)


def _difference(difference: dict[str, Any] | None) -> str:
    if difference is None:
        return ""
    low, high = difference["interval"]
    return f"{difference['mean']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _reached(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    seeds = f"{found['seeds_that_reach_it']} of {len(found['labels_by_seed'])} seeds"
    if found["labels"] is None:
        return f"never ({seeds})"
    return f"{found['labels']:.0f} = {found['percent_of_pool']:.0f} % ({seeds})"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
