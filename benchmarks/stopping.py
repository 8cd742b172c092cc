"""How often "when to stop" is right: replays recorded experiments round by round.

After each round, `model.stopping` sees the validation figures so far and says "stop", a number of labels or
"not yet to be told"; the rounds that follow tell whether it was right. The end of a run is what its last
rounds reached on the test images, by an isotonic curve, as labelling all images would have.

    Right: a number of labels is right if it is within a quarter of the labels at which the test curve came
    within 0.01 of its end (labels in total; "more alone" counts only those still to come).
    False stop: "stop" was said, and the test curve still rose by more than 0.01.

Without arguments it replays what docs/science records. FOLDER is the output of `dsal experiment`; with
--record these runs are written to docs/science/stopping.json.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.quality import isotonic
from model.stopping import MIN_ROUNDS, STEP, Forecast, forecast

SCIENCE = Path(__file__).parent.parent / "docs" / "science"
RECORD = SCIENCE / "stopping.json"
END = 2
"""Last rounds whose mean is the end of a run."""
WITHIN = 0.25


@dataclass(frozen=True)
class Run:
    """One seed of one arm.

    Attributes:
        name: of the set.
        labels: of each round.
        validation: Dice of each validation image after each round.
        test: mean Dice of the test images after each round.
    """

    name: str
    labels: list[int]
    validation: list[list[float]]
    test: list[float]

    def curve(self) -> tuple[NDArray[np.float64], float]:
        """The test curve without its noise, which only rises, and the end of the run."""
        curve = isotonic(np.arange(len(self.test), dtype=np.float64), np.asarray(self.test))[1]
        return curve, float(curve[-END:].mean())

    def reached(self) -> float:
        """Labels at which the curve came within `STEP` of the end, linear between rounds."""
        curve, end = self.curve()
        index = int((curve >= end - STEP).argmax())
        if index == 0:
            return float(self.labels[0])
        share = (end - STEP - curve[index - 1]) / (curve[index] - curve[index - 1])
        return self.labels[index - 1] + float(share) * (self.labels[index] - self.labels[index - 1])


@dataclass(frozen=True)
class Said:
    """What was said after a round, and what came of it."""

    run: Run
    index: int
    forecast: Forecast

    @property
    def more(self) -> float:
        """The middle of the interval that was said."""
        return (self.forecast.more.low + self.forecast.more.high) / 2

    @property
    def is_right(self) -> bool:
        """Whether the number of labels in total is right."""
        now = self.run.labels[self.index]
        true = max(self.run.reached(), now)
        return abs(now + self.more - true) <= WITHIN * true

    @property
    def is_right_alone(self) -> bool:
        """Whether the number of labels that were still to come is right."""
        more = self.run.reached() - self.run.labels[self.index]
        return abs(self.more - more) <= WITHIN * max(more, 0.0)

    @property
    def contains(self) -> bool:
        """Whether the interval contains the number of labels that were still to come."""
        more = max(self.run.reached() - self.run.labels[self.index], 0.0)
        return self.forecast.more.low <= more <= self.forecast.more.high

    @property
    def left(self) -> float:
        """What the test curve still rose by."""
        curve, end = self.run.curve()
        return end - float(curve[self.index])

    @property
    def is_false_stop(self) -> bool:
        """Whether "stop" was said too early."""
        return self.forecast.verdict == "stop" and self.left > STEP


def replay(run: Run) -> list[Said]:
    """What is said after each round but the last one."""
    found = []
    for rounds in range(MIN_ROUNDS, len(run.labels)):
        left = run.labels[-1] - run.labels[rounds - 1]
        one = forecast(run.labels[:rounds], np.asarray(run.validation[:rounds]), left=left)
        if one is not None:
            found.append(Said(run, rounds - 1, one))
    return found


def of_folder(folder: Path) -> list[Run]:
    """The runs of an experiment's folder, without the bound."""
    labels: dict[Any, int] = {}
    values: dict[Any, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    with (folder / "results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["arm"] != "full":
                key = (row["arm"], row["seed"], int(row["round"]))
                labels[key] = int(row["labels"])
                values[key][row["role"]][row["image"]] = float(row["r_dsc"])
    runs = []
    for arm, seed in dict.fromkeys(key[:2] for key in sorted(labels)):
        keys = sorted(key for key in labels if key[:2] == (arm, seed))
        images = sorted(values[keys[0]]["validation"])
        runs.append(
            Run(
                folder.name,
                [labels[key] for key in keys],
                [[round(values[key]["validation"][image], 4) for image in images] for key in keys],
                [round(float(np.mean(list(values[key]["test"].values()))), 5) for key in keys],
            )
        )
    return runs


def of_summaries(folder: Path, rounds: int) -> Iterator[Run]:
    """Runs of at least so many rounds of which only test means are known; these stand for both sets."""
    for path in sorted(folder.glob("*.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        arms = summary.get("arms", {}) if isinstance(summary, dict) else {}
        for arm in arms.values():
            listed = arm.get("rounds", [])
            if len(listed) >= rounds:
                for seed in range(len(listed[0]["dsc"]["by_seed"])):
                    test = [one["dsc"]["by_seed"][seed] for one in listed]
                    yield Run(
                        path.stem.split("-")[0], [one["labels"] for one in listed], [[v] for v in test], test
                    )


def share(values: Sequence[bool]) -> str:
    """Share and number, such as "80 % of 10"."""
    return f"{np.mean(values):4.0%} of {len(values):3}" if values else "   –      "


def report(runs: Sequence[Run], title: str) -> None:
    """Print a line for each set and one for all."""
    print(f"{title}\n")
    print(
        "set         runs  said stop  false stops  said a number  right ±25 %  more alone  in interval  "
        "untold"
    )
    replayed = [(run, replay(run)) for run in runs]
    for name in [*sorted({run.name for run in runs}), "all"]:
        several = [said for run, said in replayed if name in (run.name, "all")]
        # One statement of a kind for each run, the first, since those that follow depend on it.
        stops = [
            one for said in several if (one := next((s for s in said if s.forecast.verdict == "stop"), None))
        ]
        numbers = [
            one for said in several if (one := next((s for s in said if s.forecast.verdict == "more"), None))
        ]
        untold = [one.forecast.verdict == "unknown" for said in several for one in said]
        print(
            f"{name:10}  {len(several):4}  {len(stops):9}  {share([s.is_false_stop for s in stops])}  "
            f"{len(numbers):13}  {share([s.is_right for s in numbers])}  "
            f"{share([s.is_right_alone for s in numbers])}  {share([s.contains for s in numbers])}  "
            f"{share(untold)}"
        )
    print()


def main() -> None:
    """Parse the options, replay and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    if options.folders:
        runs = [run for folder in options.folders for run in of_folder(folder)]
        if options.record:
            lines = ",\n".join(json.dumps(asdict(run), separators=(",", ":")) for run in runs)
            RECORD.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        report(runs, "Folders, by validation images")
        return
    recorded = (
        [Run(**run) for run in json.loads(RECORD.read_text(encoding="utf-8"))] if RECORD.exists() else []
    )
    report(recorded, "Long runs, by validation images")
    report(list(of_summaries(SCIENCE, rounds=7)), "Seven rounds, by the test images themselves")


if __name__ == "__main__":
    main()
