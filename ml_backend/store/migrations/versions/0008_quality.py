"""How good each mask probably is.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scores", sa.Column("quality", sa.Double))
    op.add_column("scores", sa.Column("margin", sa.Double))


def downgrade() -> None:
    with op.batch_alter_table("scores") as scores:
        scores.drop_column("margin")
        scores.drop_column("quality")
