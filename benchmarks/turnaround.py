"""How soon a label is seen, in the weights, on the next task and in the order, and what drawing costs.

Usage: python benchmarks/turnaround.py [--images DIR --masks DIR] [--tasks N] [--labels N] [--seconds S]
                                       [--film FILE] [--width W] [--image-size PIXELS]

A simulated annotator works down the view of a project in a real Label Studio, once with LEARN_FROM=0 (labels
are learned in rounds) and once with continuous learning, on the same images: those of the folders from the
shipped weights, or phantoms from none, since the shipped weights have learned phantoms. The annotator
opens the next task, works on it for `--seconds`, and submits the true mask. Measured from each submit on:

- weights: until weights that have learned from the label are in the store,
- next mask: until the task that is opened next is drawn by them,
- order: from the last label of a round until the new version orders the tasks.

Effort is the added path length (pixels of outline that had to be drawn) of each task's mask when it is
submitted, compared with the mask on display when it was opened. A round that the run does not live to see
counts as not seen. Memory is that of the worker with all its processes, training and quick jobs side by
side; what they share counts once. Targets on two cores: next mask 30 s (median), order 90 s after the tenth
label with 200 tasks, less effort than in rounds; memory 2.5 GB at width 32 and 600 pixels.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np
from support.service import ConnectedProject, connected, started_label_studio

from ml_backend.demo.images import DemoImages, draw_phantoms, own_images
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.store import drafts, versions
from model.metrics import added_path_length, mean_dice
from model.strategies import DEFAULT
from model.training.dataset import read_mask

if TYPE_CHECKING:
    from support.film import Film

ARMS = {"in rounds": "0", "continuous": "2"}
"""LEARN_FROM of each arm."""

PATIENCE = 900.0
"""Longest time in seconds that the last labels of an arm are waited for."""


WEIGH_SECONDS = 3.0
"""Time between two looks at the worker's memory."""


@dataclass
class Label:
    """One submitted label: when, at what cost, and the seconds until it was seen; None if it never was.

    Attributes:
        at: time of the submit, on the monotonic clock.
        effort: added path length in pixels.
        dsc: Dice of the shown and the submitted mask.
        weights, mask, order: seconds from the submit.
    """

    at: float
    effort: int
    dsc: float
    weights: float | None = None
    mask: float | None = None
    order: float | None = None


@dataclass
class Arm:
    """One project and its simulated annotator.

    Attributes:
        project: the project.
        labels: those that were submitted.
        film: gets a picture of every task as it opens.
        most_mb: the most memory that the worker used, in MB.
    """

    project: ConnectedProject
    labels: list[Label]
    film: Film | None = None
    most_mb: int = 0
    _weighed: float = 0.0

    def work(self, count: int, seconds: float) -> None:
        """Label `count` tasks, `seconds` each."""
        client, config = self.project.client, self.project.config
        began = time.monotonic()
        while len(self.labels) < count:
            task = client.next_task(self.project.project, self.project.view)
            if task is None:
                # The view is being refilled.
                self.look(1.0)
                continue
            mask = read_mask(self.project.truth[int(task["id"])].mask_path)
            shown = self.shown(int(task["id"]), mask.shape)
            effort = added_path_length(shown, mask, len(config.labels))
            dsc = mean_dice(shown, mask, len(config.labels))
            if self.film is not None:
                minutes, rest = divmod(round(time.monotonic() - began), 60)
                caption = f"{minutes}:{rest:02d}, after {len(self.labels)} labels\nDice {dsc:.2f}"
                self.film.take(self.project.project, self.project.view, int(task["id"]), caption)
            self.look(seconds)
            client.submit_annotation(int(task["id"]), results(mask, config), lead_time=seconds)
            self.labels.append(Label(time.monotonic(), effort, dsc))
            print(f"  label {len(self.labels)}: effort {effort}, DSC {dsc:.3f}", flush=True)

    def shown(self, task: int, shape: tuple[int, ...]) -> np.ndarray:
        """The mask that a task opens with: that of the current version, or of an answer to /predict."""
        client, config = self.project.client, self.project.config
        current = str(client.project(self.project.project)["model_version"])
        found = [one for one in client.predictions(task) if one["model_version"] == current]
        drawn = None
        if found:
            drawn = label_map(found[0]["result"], config, (shape[0], shape[1])).label_map
        return np.zeros(shape, np.uint8) if drawn is None else drawn

    def look(self, seconds: float) -> None:
        """Note for `seconds` what the newest weights, masks and order have learned from."""
        ends = time.monotonic() + seconds
        while True:
            self._note(*self._learned())
            self._weigh()
            if time.monotonic() >= ends:
                return
            time.sleep(min(0.25, max(0.0, ends - time.monotonic())))

    def _weigh(self) -> None:
        """Note the worker's memory from time to time: adding it up takes a worker's pages a moment."""
        if time.monotonic() - self._weighed > WEIGH_SECONDS:
            self.most_mb = max(self.most_mb, self.project.worker_pss())
            self._weighed = time.monotonic()

    def _learned(self) -> tuple[int, int, int]:
        """How many labels the newest weights, the next masks and the order have learned from."""
        with self.project.database.read() as session:
            draft = drafts.current(session, self.project.project)
            ours = versions.of_project(session, self.project.project)
        published = self.project.published()
        newest = max((one.labels_used for one in ours), default=0)
        order = 0 if published is None else published.labels_used
        weights = max(newest, 0 if draft is None else draft.learned)
        drawn = 0 if draft is None or draft.drawn_at is None else draft.learned
        return weights, max(order, drawn), order

    def _note(self, weights: int, masks: int, order: int) -> None:
        moment = time.monotonic()
        for index, label in enumerate(self.labels):
            after = moment - label.at
            if index < weights and label.weights is None:
                label.weights = after
            if index < masks and label.mask is None:
                label.mask = after
            if index < order and label.order is None:
                label.order = after

    def wait(self) -> None:
        """Look until all labels are in the order, or until `PATIENCE` is over."""
        ends = time.monotonic() + PATIENCE
        while self.labels[-1].order is None and time.monotonic() < ends:
            self.look(1.0)


def main() -> None:
    """Run both arms, and print their table."""
    arguments = parse()
    with ExitStack() as stack:
        server, folder = stack.enter_context(started_label_studio(arguments.label_studio))
        images = collection(arguments, folder / "phantoms")
        arms = {}
        strip = None
        if arguments.film is not None:
            # Here and not above: only a film needs a browser.
            from support.film import film

            strip = stack.enter_context(film(arguments.film, server.url, server.email, server.password))
        for name in arguments.arms:
            print(f"{name}:", flush=True)
            arms[name] = run(arguments, images, name, folder / name.replace(" ", "-"), server, strip)
    show(arms, arguments.round)


def run(
    arguments: argparse.Namespace,
    images: DemoImages,
    name: str,
    folder: Path,
    server: LabelStudioServer,
    film: Film | None,
) -> list[Label]:
    """Run one arm with a service of its own."""
    environment = {"LEARN_FROM": ARMS[name], "RETRAIN_EVERY": str(arguments.round), "STRATEGY": DEFAULT}
    if arguments.images is None:
        environment["INITIAL_WEIGHTS"] = "none"
    environment |= {"NETWORK_WIDTH": str(arguments.width), "IMAGE_SIZE": str(arguments.image_size)}
    with connected(server, images, folder, name, environment) as project:
        arm = Arm(project, [], film)
        while project.published() is None:
            project.processes.check()
            time.sleep(0.5)
        # Until the batch of the first version is marked.
        time.sleep(10)
        arm.work(arguments.labels, arguments.seconds)
        arm.wait()
        print_versions(project)
        print(f"  the worker used at most {arm.most_mb} MB", flush=True)
        return arm.labels


def print_versions(project: ConnectedProject) -> None:
    """Print what each new order took: the scores of all tasks, and the publication."""
    with project.database.read() as session:
        made = versions.of_project(session, project.project)
    for one in reversed(made):
        if one.seconds_scoring is not None and one.seconds_publishing is not None:
            known = one.metrics.get("validation_dsc")
            dsc = "unknown" if known is None else f"{known:.3f}"
            print(
                f"  round {one.round}: {one.labels_used} labels, validation Dice {dsc}, scored in "
                f"{one.seconds_scoring:.0f} s, published in {one.seconds_publishing:.0f} s",
                flush=True,
            )


def collection(arguments: argparse.Namespace, phantoms: Path) -> DemoImages:
    """The images of both arms with their masks."""
    if arguments.images is None or arguments.masks is None:
        return draw_phantoms(phantoms, arguments.tasks, 1, 0, lambda *_: None)
    folders = arguments.images, arguments.masks
    return own_images(*folders, arguments.tasks, 1, 0, lambda *_: None, arguments.names)


def show(arms: dict[str, list[Label]], per_round: int) -> None:
    """Print one line for each arm, and the ratio of efforts."""
    heads = ("weights s", "next mask s", "order s", "order, last of a round s", "effort a task", "DSC shown")
    print(f"{'median from submit':<20}" + "".join(f"{head:>26}" for head in heads))
    for name, labels in arms.items():
        last = labels[per_round - 1 :: per_round]
        figures = [
            middle([label.weights for label in labels]),
            middle([label.mask for label in labels]),
            middle([label.order for label in labels]),
            middle([label.order for label in last]),
            f"{mean(label.effort for label in labels):.0f}",
            f"{mean(label.dsc for label in labels):.4f}",
        ]
        print(f"{name:<20}" + "".join(f"{figure:>26}" for figure in figures))
    if len(arms) == 2:
        rounds, continuous = (sum(label.effort for label in arms[name]) for name in ARMS)
        print(f"effort, continuous / in rounds: {continuous / max(rounds, 1):.2f}")


def middle(values: list[float | None]) -> str:
    """Median and largest of the known values, and how many are unknown."""
    known = [value for value in values if value is not None]
    unknown = f", {len(values) - len(known)} never" if len(known) < len(values) else ""
    return f"{median(known):.0f} (max {max(known):.0f}{unknown})" if known else "never"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--names", nargs="*", default=["bone"], help="labels of the masks")
    parser.add_argument("--label-studio", type=Path, default=Path(".venv-label-studio/bin/label-studio"))
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--round", type=int, default=10)
    parser.add_argument("--film", type=Path, help="picture of every task as it opens, in Chromium (PNG)")
    parser.add_argument("--width", type=int, default=32, help="of networks that begin without weights")
    parser.add_argument("--image-size", type=int, default=600)
    parser.add_argument("--arms", nargs="*", choices=list(ARMS), default=list(ARMS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
