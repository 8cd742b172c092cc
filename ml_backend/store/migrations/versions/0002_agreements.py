"""Agreement between the annotators of a task.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    project = sa.ForeignKey("projects.id", ondelete="CASCADE")
    op.create_table(
        "agreements",
        sa.Column("project_id", sa.Integer, project, primary_key=True),
        sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("annotators", sa.Integer, nullable=False),
        sa.Column("dsc", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("agreements")
