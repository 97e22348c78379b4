"""What a node of a mesh remembers: signatures, where logs begin, peers' keys, requests' keys."""

from alembic import op

from app.store.ladder import dispatch, run_script

revision = "0007_mesh"
down_revision = "0006_graph"


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=run_script(revision, "sqlite"),
        postgresql=run_script(revision, "postgresql"),
    )
