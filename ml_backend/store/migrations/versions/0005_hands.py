"""Several annotators: who they are, and since when who has which task.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def _project() -> sa.Column[int]:
    return sa.Column(
        "project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )


def upgrade() -> None:
    op.create_table(
        "annotators",
        _project(),
        sa.Column("email", sa.String(254), primary_key=True),
        sa.Column("active_at", MOMENT, nullable=False),
    )
    op.create_table(
        "holdings",
        _project(),
        sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("email", sa.String(254)),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT),
        sa.Column("version_id", sa.Integer),
    )


def downgrade() -> None:
    op.drop_table("holdings")
    op.drop_table("annotators")
