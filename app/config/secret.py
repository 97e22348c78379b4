"""A text that must not be seen: it never shows itself unless asked by name."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from pydantic_core import core_schema
from typing_extensions import override

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

REDACTED: Final = "<redacted>"


class Secret:
    """Holds a key or passphrase; `repr`, `str`, formatting and serialising say `<redacted>`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it where it is used, keep the result nowhere."""
        return self._text

    def matches(self, offered: str) -> bool:
        """Whether `offered` is the secret, in time that does not depend on where they differ."""
        return hmac.compare_digest(self._text.encode(), offered.encode("utf-8", "surrogatepass"))

    @override
    def __repr__(self) -> str:
        return REDACTED

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    @override
    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    @override
    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[object], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        from_text = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=from_text,
            python_schema=core_schema.union_schema(
                [core_schema.is_instance_schema(cls), from_text]
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )
