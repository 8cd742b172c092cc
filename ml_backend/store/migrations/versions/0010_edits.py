"""How annotations came to be, and which version drew the predictions kept for open pages.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def _project() -> sa.Column[int]:
    return sa.Column(
        "project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )


def upgrade() -> None:
    op.create_table(
        "edits",
        _project(),
        sa.Column("annotation_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("provenance", sa.String(16), nullable=False),
        sa.Column("version", sa.String(120)),
        sa.Column("dsc", sa.Double),
        sa.Column("per_label", sa.JSON, nullable=False),
        sa.Column("added_path", sa.Integer),
        sa.Column("lead_time", sa.Double),
    )
    op.create_index("ix_edits_task_id", "edits", ["task_id"])
    op.create_table(
        "kept_predictions",
        _project(),
        sa.Column("prediction_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.String(120), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("kept_predictions")
    op.drop_table("edits")
