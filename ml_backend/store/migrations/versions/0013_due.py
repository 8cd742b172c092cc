"""Scores that a published version has from the one before, until it has measured their images itself.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scores", sa.Column("due", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index(
        "scores_due",
        "scores",
        ["version_id", "task_id"],
        sqlite_where=sa.text("due = 1"),
        postgresql_where=sa.text("due"),
    )


def downgrade() -> None:
    op.drop_index("scores_due", "scores")
    op.drop_column("scores", "due")
