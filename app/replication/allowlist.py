"""Which client certificates may connect: fingerprints, one a line of a file.

A line is the SHA-256 of a certificate's DER in 64 hexadecimal digits, which may be grouped by
colons and led by `sha256:`. From the first `#` on it is a comment. A comment with the word
`expires=2027-01-31` (or a whole time in UTC, `expires=2027-01-31T12:00:00Z`) ends the entry then;
readers that know nothing of that take it for a comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX: Final = "sha256:"
_DIGITS: Final = frozenset("0123456789abcdefABCDEF:")
_LENGTH: Final = 64
_EXPIRES: Final = re.compile(r"(?:^|\s)expires=(\S*)")


class FingerprintError(ValueError):
    """A text is no fingerprint, or a list of them cannot be used."""


def parse_fingerprint(text: str) -> str:
    """The 64 digits in lower case.

    Raises:
        FingerprintError: other characters, or another number of digits.
    """
    digits = text.removeprefix(_PREFIX)
    foreign = next((sign for sign in digits if sign not in _DIGITS), None)
    if foreign is not None:
        raise FingerprintError(f"{foreign!r} does not belong into a fingerprint")
    plain = digits.replace(":", "").lower()
    if len(plain) != _LENGTH:
        raise FingerprintError(f"a SHA-256 has {_LENGTH} hexadecimal digits, not {len(plain)}")
    return plain


@dataclass(frozen=True, slots=True)
class Allowlist:
    """Fingerprint to the end of its admission; None is no end."""

    entries: Mapping[str, datetime | None]

    def admits(self, fingerprint: str, now: datetime) -> bool:
        """Whether a certificate may connect at this time."""
        if fingerprint not in self.entries:
            return False
        end = self.entries[fingerprint]
        return end is None or now < end

    def next_end(self, now: datetime) -> datetime | None:
        """When the next entry runs out; None if none will."""
        ahead = [end for end in self.entries.values() if end is not None and end > now]
        return min(ahead, default=None)


def parse_allowlist(text: str) -> Allowlist:
    """Read a list. The same certificate twice is one entry, which lasts as long as its last line.

    Raises:
        FingerprintError: a line is malformed (its number counts from 1), or there is no entry.
    """
    entries: dict[str, datetime | None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        value, _, comment = line.partition("#")
        value = value.strip()
        if not value:
            continue
        try:
            entries[parse_fingerprint(value)] = _end(comment)
        except FingerprintError as error:
            raise FingerprintError(f"line {number}: {error}") from None
    if not entries:
        raise FingerprintError("it names no certificate, so nobody could connect")
    return Allowlist(entries)


def _end(comment: str) -> datetime | None:
    found = _EXPIRES.search(comment)
    if found is None:
        return None
    try:
        end = datetime.fromisoformat(found[1])
    except ValueError:
        raise FingerprintError(
            "`expires=` wants a date such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z"
        ) from None
    return end.replace(tzinfo=UTC) if end.tzinfo is None else end
