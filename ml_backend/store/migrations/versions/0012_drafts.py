"""Weights that draw masks while a training runs, and the masks that they replaced.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drafts",
        sa.Column(
            "project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("run_id", sa.Integer, nullable=False),
        sa.Column("weights_hash", sa.String(64), nullable=False),
        sa.Column("former_hash", sa.String(64)),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("learned", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "former_masks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        sa.Column("prediction_id", sa.Integer, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.Column("blank", sa.Boolean, nullable=False),
        sa.Column("drawn_by_run", sa.Integer),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("scores", sa.Column("drawn_by_run", sa.Integer))
    op.create_index("ix_former_masks_project_id", "former_masks", ["project_id"])
    op.create_index("ix_former_masks_prediction_id", "former_masks", ["prediction_id"])


def downgrade() -> None:
    op.drop_column("scores", "drawn_by_run")
    op.drop_table("former_masks")
    op.drop_table("drafts")
