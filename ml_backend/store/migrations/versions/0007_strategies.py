"""Which query strategy a version's order is made by, and what its images hold until all are ranked.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "versions", sa.Column("strategy", sa.String(64), nullable=False, server_default="consistency")
    )
    op.add_column("versions", sa.Column("recipe", sa.String(64)))
    op.add_column("scores", sa.Column("held", sa.LargeBinary))


def downgrade() -> None:
    with op.batch_alter_table("scores") as scores:
        scores.drop_column("held")
    with op.batch_alter_table("versions") as versions:
        versions.drop_column("recipe")
        versions.drop_column("strategy")
