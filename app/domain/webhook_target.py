"""Where a webhook may go: nowhere inside the operator's network (semantics 7, SSRF).

Pure: who resolves a host name passes the addresses in, and asks again before each delivery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = IPv4Address | IPv6Address

URL_CHARACTERS_MAX: Final = 2_048
_PORTS: Final = {"http": 80, "https": 443}
_HOST_NAME: Final = re.compile(
    r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?"
)
_HOST_NAME_CHARACTERS_MAX: Final = 253
_LAST_LABEL_OF_A_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_UNCLEAN: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\\ud800-\udfff]")
# Addresses that carry an IPv4 address which a gateway would reach (RFC 6052, 3056).
_NAT64: Final = IPv6Network("64:ff9b::/96")
_IPV4_BITS: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """A URL taken apart; `address` is set when its host is an address and not a name."""

    url: str
    is_plain: bool
    host: str
    port: int
    address: Address | None


def parse_target(url: str) -> WebhookTarget:
    """The parts of a webhook's URL.

    Raises:
        InvalidInputError: not an absolute http or https URL with a well-formed host.
    """
    if len(url) > URL_CHARACTERS_MAX or _UNCLEAN.search(url):
        raise refused("it is too long or contains invalid characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refused("it is malformed") from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise refused("its scheme must be http or https")
    if parts.username is not None or parts.password is not None:
        raise refused("it must not contain a user or password")
    host = parts.hostname or ""
    address = _literal(host, is_bracketed="[" in parts.netloc)
    return WebhookTarget(
        url, scheme == "http", host, _PORTS[scheme] if port is None else port, address
    )


def _literal(host: str, *, is_bracketed: bool) -> Address | None:
    try:
        # A zone names an interface of this machine, which no target of a webhook has.
        if "%" not in host:
            return ip_address(host)
    except ValueError:
        pass
    if (
        is_bracketed
        or len(host) > _HOST_NAME_CHARACTERS_MAX
        or _HOST_NAME.fullmatch(host) is None
        # 0x7f.1 and 2130706433 are IPv4 addresses to the system's resolver.
        or _LAST_LABEL_OF_A_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2])
    ):
        raise refused("its host is malformed")
    return None


def check_addresses(
    target: WebhookTarget, addresses: Iterable[Address], *, allow_loopback: bool
) -> None:
    """Let a target pass when every address that its host has may be reached.

    Raises:
        InvalidInputError: one may not.
    """
    for address in addresses:
        real = _unwrapped(address)
        if real.is_loopback:
            if not allow_loopback:
                raise refused(
                    "loopback addresses are refused",
                    hint="set [subscriptions] allow_loopback_webhooks = true",
                )
        elif not real.is_global or real.is_multicast or real.is_reserved:
            raise refused("private and special addresses are refused")
        elif target.is_plain:
            raise refused("plain http is only for loopback addresses: use https")


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & _IPV4_BITS)
    return address


def refused(reason: str, **details: object) -> InvalidInputError:
    """The refusal of a webhook's URL."""
    return InvalidInputError(f"webhook url refused: {reason}", fields=["url"], **details)
