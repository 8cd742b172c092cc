"""Examinations that are interrupted and resumed, what each label was judged by, and pictures of both masks.

Revision: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "examinations",
        sa.Column(
            "project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("tasks", sa.Integer, nullable=False),
        sa.Column("folds", sa.JSON, nullable=False),
        sa.Column("finished", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("examined_labels", sa.Column("figures", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("examined_labels", sa.Column("version", sa.String(60), nullable=False, server_default=""))
    op.add_column("examined_labels", sa.Column("picture", sa.LargeBinary))
    op.add_column("examined_labels", sa.Column("mark", sa.JSON, nullable=False, server_default="[]"))
    op.drop_column("examined_labels", "seen")


def downgrade() -> None:
    op.add_column("examined_labels", sa.Column("seen", sa.LargeBinary))
    for name in ("mark", "picture", "version", "figures"):
        op.drop_column("examined_labels", name)
    op.drop_table("examinations")
