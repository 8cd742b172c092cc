"""What people ask for, paused learning, weights that are kept, and where the picture of a task is cached.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project_id", sa.Integer, sa.ForeignKey("projects.id", ondelete="CASCADE")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("who", sa.String(254), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_actions_project_id", "actions", ["project_id"])
    op.add_column("projects", sa.Column("paused_at", sa.DateTime(timezone=True)))
    op.add_column("versions", sa.Column("kept", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("scores", sa.Column("picture", sa.String(64)))


def downgrade() -> None:
    op.drop_column("scores", "picture")
    op.drop_column("versions", "kept")
    op.drop_column("projects", "paused_at")
    op.drop_table("actions")
