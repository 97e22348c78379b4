"""The one MetaData that every table registers with."""

from typing import Final

from sqlalchemy import MetaData

CURRENT_SCHEMA_VERSION: Final = 57
"""What the `schema_version` table says: the version of v0.7.0's tables that ours are equal to."""

metadata = MetaData()
