"""Base addresses of peers, in one spelling, so that one peer is not taken for two."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.%]{2,64}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~-]+)*)/*",
    re.IGNORECASE,
)
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535


def peer_url(text: str) -> str:
    """The address without a trailing slash and without the scheme's own port, in lower case.

    A path is kept, and in lower case too: v0.7.0 compares addresses so.

    Raises:
        ValueError: no `http://` or `https://` address of a host; a user, query or fragment.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError("a peer is http://host:port or https://host:port, and nothing else in it")
    scheme, host = found["scheme"].lower(), found["host"].lower()
    port = int(found["port"] or _USUAL_PORTS[scheme])
    if not 0 < port <= _PORT_MAX:
        raise ValueError("a peer's port lies between 1 and 65535")
    shown = "" if port == _USUAL_PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{shown}{found['path'].lower()}"
