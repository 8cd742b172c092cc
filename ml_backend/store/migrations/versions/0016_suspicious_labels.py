"""Labels that were compared with a network that had not learned from them.

Revision: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "examined_labels",
        sa.Column(
            "project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("annotation_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_id", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.String(40), nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("is_suspicious", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("shift_x", sa.Integer, nullable=False),
        sa.Column("shift_y", sa.Integer, nullable=False),
        sa.Column("seen", sa.LargeBinary),
        sa.Column("confirmed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("examined_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_examined_labels_task_id", "examined_labels", ["task_id"])


def downgrade() -> None:
    op.drop_table("examined_labels")
