"""When Label Studio last called about a project, so that `dsal doctor` can verify that calls arrive.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("called_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("projects", "called_at")
