"""The tables: everything the service must still know after any of its processes has died.

Their keys name each other, so importing any of these modules defines all tables but that of actions
(`ml_backend.store.actions`). The states of their rows can be imported from here as well.
"""

from ml_backend.store.base import Base, now
from ml_backend.store.models.assignments import Annotator, Assignment
from ml_backend.store.models.examinations import Examination, ExaminedLabel
from ml_backend.store.models.labels import Agreement, Edit, Event, LabelSeen, Split
from ml_backend.store.models.predictions import FormerMask, KeptPrediction, Score
from ml_backend.store.models.projects import Installation, Project
from ml_backend.store.models.versions import Draft, TrainingRun, Version
from ml_backend.store.states import Part, ProjectState, Provenance, RunState, ScoreState, VersionState

__all__ = [
    "Agreement",
    "Annotator",
    "Assignment",
    "Base",
    "Draft",
    "Edit",
    "Event",
    "Examination",
    "ExaminedLabel",
    "FormerMask",
    "Installation",
    "KeptPrediction",
    "LabelSeen",
    "Part",
    "Project",
    "ProjectState",
    "Provenance",
    "RunState",
    "Score",
    "ScoreState",
    "Split",
    "TrainingRun",
    "Version",
    "VersionState",
    "now",
]
