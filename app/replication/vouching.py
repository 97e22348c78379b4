"""What an operator said of peers' keys beforehand: keys in a folder, and credentials shown."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from app.replication.credentials import CredentialRefusedError, TrustBundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.replication.credentials import Claims

SHOWN_MAX: Final = 1_000
_LOGGER = logging.getLogger(__name__)


class Vouching:
    """Keys that are not taken on a peer's own word.

    `enrolled_key` gives the key under a name in the key folder; the bundle may be exchanged.
    """

    def __init__(
        self,
        enrolled_key: Callable[[str], bytes | None],
        now: Callable[[], datetime],
        bundle: TrustBundle | None = None,
    ) -> None:
        self.bundle = bundle
        self._enrolled_key = enrolled_key
        self._now = now
        self._shown: dict[tuple[str, bytes], int] = {}

    def enrolled(self, name: str) -> bytes | None:
        """The key in the key folder under this name; one that fits nothing if the file is bad."""
        return self._enrolled_key(name)

    def vouched(self, name: str, public_key: bytes) -> bool:
        """Whether a credential that was shown binds this key to this name, now."""
        end = self._shown.get((name, public_key))
        return end is not None and self._now().timestamp() <= end

    def show(self, credential: str, chain: str | None) -> Claims | None:
        """Take a peer's credential; None if it proves nothing here."""
        if self.bundle is None:
            return None
        try:
            claims = self.bundle.verify(credential, chain, self._now())
        except CredentialRefusedError as refused:
            _LOGGER.warning("a peer's credential vouches for nobody: %s", refused.code)
            return None
        place = (claims.subject, claims.public_key)
        self._shown.pop(place, None)
        if len(self._shown) >= SHOWN_MAX:
            self._shown.pop(next(iter(self._shown)))
        self._shown[place] = claims.not_after
        return claims
