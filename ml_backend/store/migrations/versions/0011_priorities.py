"""The order of a strategy beside the score, and whether a project's view shows a batch.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scores", sa.Column("priority", sa.Double))
    # Until now the score was the strategy's own.
    op.execute("UPDATE scores SET priority = score")
    shows_batch = sa.Column("shows_batch", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("projects", shows_batch)


def downgrade() -> None:
    op.drop_column("projects", "shows_batch")
    op.drop_column("scores", "priority")
