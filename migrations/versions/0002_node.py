"""Our own tables beside those of v0.7.0: merged state, names, the log, vectors, identity."""

from alembic import op

from app.store.ladder import dispatch, run_script

revision = "0002_node"
down_revision = "0001_v57"


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=run_script(revision, "sqlite"),
        postgresql=run_script(revision, "postgresql"),
    )
