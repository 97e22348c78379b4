"""The tables of v0.7.0 at schema version 57, under the name of that version."""

from alembic import op

from app.store.ladder import dispatch, run_script

revision = "0001_v57"
down_revision = None


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=run_script(revision, "sqlite"),
        postgresql=run_script(revision, "postgresql"),
    )
