"""A demo's report matches what Label Studio does."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from ml_backend.demo.results import RoundResults, TopTask, round_table, summary_table
from tests.demos import Demo


def as_round(reported: dict[str, Any]) -> RoundResults:
    scores = {int(task): score for task, score in reported["scores"].items()}
    return RoundResults(**{**reported, "scores": scores, "top": [TopTask(**top) for top in reported["top"]]})


def test_every_round_is_served_by_score_the_lowest_first(demo: Demo) -> None:
    for result in demo.report["rounds"]:
        scores = [result["scores"][str(task)] for task in result["order"]]
        assert len(scores) == demo.report["settings"]["tasks"] - result["labels"]
        assert scores == sorted(scores)
        assert result["next_task"] == result["order"][0]


def test_a_round_reports_its_figures(demo: Demo) -> None:
    start, first = demo.report["rounds"][:2]
    assert (start["round"], start["labels"], start["test_dsc"]) == (0, 0, None)
    assert first["labels"] == demo.report["settings"]["per_round"]
    assert first["steps"] > 0
    assert all(first["seconds"][stage] > 0 for stage in ("train", "score", "publish"))
    assert 0 <= first["validation_dsc"] <= 1
    assert 0 <= first["test_dsc"] <= 1
    for place, top in enumerate(first["top"]):
        assert top["task"] == first["order"][place]
        assert top["score"] == first["scores"][str(top["task"])]
        assert abs(top["score"] - (top["l_dsc"] + top["m_dsc"]) / 2) < 1e-6
        assert 0 <= top["r_dsc"] <= 1
        assert start["order"][top["before"] - 1] == top["task"]


def test_what_a_round_reports_is_also_printed(demo: Demo) -> None:
    for top in demo.last["top"]:
        assert any(
            top["image"] in line and f"{top['score']:.3f}" in line and f"{top['r_dsc']:.3f}" in line
            for line in demo.said.splitlines()
        )
    assert f"test {demo.last['test_dsc']:.3f}" in demo.said


def test_a_round_fits_into_80_columns(demo: Demo) -> None:
    rounds = [as_round(reported) for reported in demo.report["rounds"]]
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(round_table(rounds[-1], len(rounds) - 1), summary_table(rounds))
    printed = console.export_text().splitlines()
    assert sum("phantom_" in line for line in printed) == len(rounds[-1].top)
