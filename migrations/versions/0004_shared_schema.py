"""What several nodes on one schema need; SQLite, with one node a file, keeps the tables empty."""

from alembic import op

from app.store.ladder import dispatch, run_script

revision = "0004_shared_schema"
down_revision = "0003_full_text"


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=run_script(revision, "sqlite"),
        postgresql=run_script(revision, "postgresql"),
    )
