"""What a project was before it was connected, and a name for the installation that its webhooks carry.

Revision: 0014
"""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("before_connect", sa.JSON))
    table = op.create_table("installations", sa.Column("id", sa.String(32), primary_key=True))
    op.bulk_insert(table, [{"id": uuid.uuid4().hex}])


def downgrade() -> None:
    op.drop_table("installations")
    op.drop_column("projects", "before_connect")
