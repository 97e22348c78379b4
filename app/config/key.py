"""What is known of a setting besides its type and default: the metadata of one field."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class OnInvalid(Enum):
    """What a value outside its range does to the ladder.

    A value of the wrong *type* in the file always rejects the whole file, and
    a bad environment value never does more than warn and fall through.
    """

    REJECT = "reject"  # the whole file is refused
    NEXT_LAYER = "next layer"  # warned about, and the next layer is asked
    DEFAULT = "default"  # warned about, and the compiled default holds at once


@dataclass(frozen=True, slots=True)
class Key:
    """One setting, as an operator meets it. Stands in the field's `Annotated`.

    Attributes:
        description: One sentence for the reference and the default file.
        unit: Of the number, empty if it has none.
        env: Environment variables, the strongest first.
        flag: The command-line flag, as typed.
        also: Other spellings in the same section, weaker than the field's name.
        legacy: Flat top-level keys of v0.6, the strongest first.
        on_invalid: What a value outside its range does.
        in_file: False for what only flags or the environment can set.
        ours: True for what v0.7.0 does not have.
        default_is_absent: A flag or variable equal to the default counts as not given.
        invalid_items_dropped: A list loses its invalid items, with a warning, and keeps the rest.
        note: Anything else the operator must know.
    """

    description: str
    unit: str = ""
    env: tuple[str, ...] = ()
    flag: str = ""
    also: tuple[str, ...] = ()
    legacy: tuple[str, ...] = ()
    on_invalid: OnInvalid = OnInvalid.REJECT
    in_file: bool = True
    ours: bool = False
    default_is_absent: bool = False
    invalid_items_dropped: bool = False
    note: str = ""
