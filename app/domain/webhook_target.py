"""Where a webhook may go: nowhere inside the operator's network (semantics 7, SSRF).

Pure: who resolves a host name passes the addresses in, and asks again before each delivery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Final, TypeAlias

from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = IPv4Address | IPv6Address

URL_CHARACTERS_MAX: Final = 2_048
_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535
_URL: Final = re.compile(  # RFC 3986, 3 and 3.2, without a user
    r"(?P<scheme>https?)://(?:\[(?P<literal>[0-9a-f:.]+)\]|(?P<host>[^\[\]:/?#@]+))"
    r"(?::(?P<port>[0-9]{0,5}))?(?:[/?#].*)?",
    re.IGNORECASE,
)
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
    parts = _URL.fullmatch(url)
    if parts is None:
        raise refused("it must be http(s)://host[:port][/path], without a user")
    scheme = parts["scheme"].lower()
    port = int(parts["port"]) if parts["port"] else _PORTS[scheme]
    if not 1 <= port <= _PORT_MAX:
        raise refused("its port is out of range")
    host = (parts["literal"] or parts["host"]).lower()
    return WebhookTarget(
        url, scheme == "http", host, port, _literal(host, is_bracketed=parts["literal"] is not None)
    )


def _literal(host: str, *, is_bracketed: bool) -> Address | None:
    try:
        return IPv6Address(host) if is_bracketed else IPv4Address(host)
    except ValueError as error:
        if is_bracketed or not _is_name(host):
            raise refused("its host is malformed") from error
        return None


def _is_name(host: str) -> bool:
    return (
        len(host) <= _HOST_NAME_CHARACTERS_MAX
        and _HOST_NAME.fullmatch(host) is not None
        # 0x7f.1 and 2130706433 are IPv4 addresses to the system's resolver.
        and _LAST_LABEL_OF_A_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is None
    )


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
