"""The version of the wire that we speak, not our own."""

from typing import Final

WIRE_VERSION: Final = "0.7.0"
