"""docs/STORAGE.md says of every table who has a copy of it."""

import re
from pathlib import Path

from app.store.tables import metadata

PAGE = Path(__file__).parents[2] / "docs" / "STORAGE.md"
STANDINGS = {"replicated", "derived", "local", "unused"}
MADE_OUTSIDE_THE_DECLARATIONS = {"memories_fts", "alembic_version"}


def test_every_table_has_one_row_with_a_known_standing() -> None:
    described: dict[str, str] = {}
    rows = re.findall(r"^\| (`[^|]*`) \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for names, standing in rows:
        for name in re.findall(r"`(\w+)`", names):
            assert name not in described
            described[name] = standing
    assert set(described) == set(metadata.tables) | MADE_OUTSIDE_THE_DECLARATIONS
    assert set(described.values()) == STANDINGS
