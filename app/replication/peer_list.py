"""Who the peers are: addresses of the setting and lines of a file, each peer once.

A line of the file is an address, and after it the SHA-256 of the certificate that the peer must
show, if it is pinned; from `#` on it is a comment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.peer_url import peer_url
from app.replication.allowlist import FingerprintError, parse_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORDS_MAX = 2


class PeerListError(ValueError):
    """The list cannot be used; the message names the line or the address."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is. With `pin` only a server with exactly that certificate is the peer."""

    url: str
    pin: str | None = None


def parse_peer_file(text: str) -> tuple[PeerAddress, ...]:
    """The file's peers, in its order; none is legal.

    Raises:
        PeerListError: a line is malformed (its number counts from 1).
    """
    return tuple(_lines(text))


def join_peers(
    configured: Iterable[str], from_file: Iterable[PeerAddress]
) -> tuple[PeerAddress, ...]:
    """Both lists in one.

    Raises:
        PeerListError: a peer stands there twice.
    """
    found: dict[str, PeerAddress] = {}
    for peer in (*map(PeerAddress, configured), *from_file):
        if peer.url in found:
            raise PeerListError(f"--quorum-peers names {peer.url} twice, or --peer-file again")
        found[peer.url] = peer
    return tuple(found.values())


def _lines(text: str) -> Iterator[PeerAddress]:
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if len(words) > _WORDS_MAX:
                raise PeerListError("an address, and the SHA-256 of its certificate if pinned")
            url = peer_url(words[0])
            pin = parse_fingerprint(words[1]) if len(words) == _WORDS_MAX else None
            if pin is not None and not url.startswith("https://"):
                raise PeerListError("only an https:// peer shows a certificate")
        except (ValueError, FingerprintError) as error:
            raise PeerListError(f"line {number}: {error}") from None
        yield PeerAddress(url, pin)
