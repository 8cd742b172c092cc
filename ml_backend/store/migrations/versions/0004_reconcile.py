"""What reconciling needs to know: archived projects, what the last look saw, images to be tried again.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("projects", sa.Column("archived_at", MOMENT))
    op.add_column(
        "projects", sa.Column("archived_by_hand", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("projects", sa.Column("extent", sa.JSON))
    op.add_column("projects", sa.Column("has_view", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("scores", sa.Column("retry_at", MOMENT))
    op.add_column("scores", sa.Column("tries", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("scores") as scores:
        scores.drop_column("tries")
        scores.drop_column("retry_at")
    with op.batch_alter_table("projects") as projects:
        for column in ("has_view", "extent", "archived_by_hand", "archived_at"):
            projects.drop_column(column)
