"""The check of what annotators need to ask for masks by points and boxes."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.doctor.finding import Verdict, fault, ok
from ml_backend.doctor.installation import ConnectedProject
from ml_backend.label_studio.config import parse, smart_labels


def check_prompts(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the labeling config has smart tags for all labels, and whether somebody answers them."""
    xml = str(project.fields["label_config"] or "")
    config = parse(xml)
    found = smart_labels(xml, config)
    missing = found.missing(config)
    cure = f"Run {project.connect} --interactive."
    if project.backend["is_interactive"]:
        if missing:
            yield fault(
                "The ML backend is interactive, but the labeling config has no smart points and boxes for "
                f"{', '.join(missing)}.",
                cure,
            )
        else:
            yield ok("Annotators can ask for masks by points and boxes.")
        return
    if not found.points | found.boxes:
        yield ok("Annotators correct by hand; dsal connect --interactive lets them ask for masks.")
        return
    answering = [each["url"] for each in project.client.ml_backends(project.number) if each["is_interactive"]]
    if answering:
        yield ok(f"Points and boxes are sent to {answering[0]}.")
    else:
        yield fault(
            "The labeling config has smart tags, but the ML backend is not interactive: nobody is asked for "
            "a mask.",
            cure,
        )
