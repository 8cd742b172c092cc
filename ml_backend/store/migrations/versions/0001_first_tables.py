"""First tables: projects, versions, training runs, events, split, labels seen, scores.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def _state() -> sa.String:
    return sa.String(16)


def _project(*, primary_key: bool = False, index: bool = False) -> sa.Column[int]:
    project = sa.ForeignKey("projects.id", ondelete="CASCADE")
    return sa.Column("project_id", sa.Integer, project, nullable=False, primary_key=primary_key, index=index)


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("title", sa.Text),
        sa.Column("label_config", sa.Text, nullable=False),
        sa.Column("state", _state(), nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("published_version_id", sa.Integer),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, primary_key=True),
        _project(index=True),
        sa.Column("name", sa.String(120), nullable=False, unique=True),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("versions.id", ondelete="SET NULL")),
        sa.Column("weights_hash", sa.String(64)),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("state", _state(), nullable=False),
        sa.Column("metrics", sa.JSON, nullable=False),
        sa.Column("labels_used", sa.Integer, nullable=False),
        sa.Column("seconds_training", sa.Double, nullable=False),
        sa.Column("seconds_scoring", sa.Double, nullable=False),
        sa.Column("seconds_publishing", sa.Double, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("published_at", MOMENT),
    )
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        _project(index=True),
        sa.Column("state", _state(), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("labels", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id", ondelete="SET NULL")),
    )
    running = sa.text("state = 'running'")
    op.create_index(
        "one_running_training",
        "training_runs",
        ["project_id"],
        unique=True,
        sqlite_where=running,
        postgresql_where=running,
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        _project(),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("task_ids", sa.JSON, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("consumed_by_run", sa.Integer, sa.ForeignKey("training_runs.id", ondelete="SET NULL")),
    )
    op.create_index("events_of_run", "events", ["project_id", "consumed_by_run"])
    op.create_table(
        "splits",
        _project(primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("part", _state(), nullable=False),
    )
    op.create_table(
        "labels_seen",
        _project(primary_key=True),
        sa.Column("annotation_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.Integer, nullable=False, index=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column(
            "version_id", sa.Integer, sa.ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("chunk", sa.Integer, nullable=False),
        sa.Column("l_dsc", sa.Double),
        sa.Column("m_dsc", sa.Double),
        sa.Column("score", sa.Double),
        sa.Column("blank", sa.Boolean, nullable=False),
        sa.Column("state", _state(), nullable=False),
        sa.Column("error", sa.Text),
    )


def downgrade() -> None:
    for table in ("scores", "labels_seen", "splits", "events", "training_runs", "versions", "projects"):
        op.drop_table(table)
