"""When people were told that it is time to stop.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("told_to_stop_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("projects", "told_to_stop_at")
