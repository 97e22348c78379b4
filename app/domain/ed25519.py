"""Whether 32 bytes are an Ed25519 public key (RFC 8032, section 5.1.3)."""

from __future__ import annotations

from typing import Final

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, _P - 2, _P) % _P
_SIGN_BIT: Final = 1 << 255


def is_public_key(key: bytes) -> bool:
    """Whether the bytes decode to a point of the curve.

    Libraries find that out at the first signature only, long after somebody bound the key.
    """
    number = int.from_bytes(key, "little")
    y, sign = number & (_SIGN_BIT - 1), number & _SIGN_BIT
    if y >= _P:
        return False
    # x² = (y² - 1) / (d·y² + 1); the divisor is never zero, because -1/d is no square.
    x_squared = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    if x_squared == 0:
        return not sign
    return pow(x_squared, (_P - 1) // 2, _P) == 1
