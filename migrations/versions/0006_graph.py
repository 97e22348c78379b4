"""How far Apache AGE's graph follows the log; SQLite, which has no such graph, keeps them empty."""

from alembic import op

from app.store.ladder import dispatch, run_script

revision = "0006_graph"
down_revision = "0005_search"


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=run_script(revision, "sqlite"),
        postgresql=run_script(revision, "postgresql"),
    )
