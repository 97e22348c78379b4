"""The version of the wire that we speak, not our own."""

from typing import Final

WIRE_VERSION: Final = "0.7.0"

SOFTWARE: Final = "ai-memory-py/0.1.0"
"""This implementation, as peers and operators read it."""
