"""Links on the wire (http-api 2.7 and 3.5)."""

from __future__ import annotations

import msgspec
from pydantic import AliasChoices, ConfigDict, Field

from app.api.schemas.body import Body
from app.domain.errors import InvalidInputError
from app.services.commands.links import Ends
from app.services.links import LinkCheck, LinkChoice

SOURCE = AliasChoices("source_id", "from")
TARGET = AliasChoices("target_id", "to")
_RELATION = AliasChoices("relation", "rel_type")


class LinkBody(Body):
    """Which link. Unlike all other bodies this one takes no unknown keys."""

    model_config = ConfigDict(extra="allow")  # kept, to be named in the refusal

    source_id: str = Field(validation_alias=SOURCE, description="Also `from`.")
    target_id: str = Field(validation_alias=TARGET, description="Also `to`.")
    relation: str | None = Field(
        default=None,
        validation_alias=_RELATION,
        description="Also `rel_type`: related_to (default), supersedes, contradicts, derived_from,"
        " reflects_on or derives_from. A removal without it removes all relations.",
        examples=["supersedes"],
    )

    def ends(self) -> Ends:
        """The two memories.

        Raises:
            InvalidInputError: `unknown_field`, naming each.
        """
        if self.model_extra:
            raise InvalidInputError("unknown_field", fields=sorted(self.model_extra))
        return Ends(self.source_id, self.target_id)


class VerifyBody(Body):
    """Which link to verify: by its id, or by its source and perhaps its target."""

    source_id: str | None = Field(default=None, description="Alone: the oldest link from it.")
    target_id: str | None = None
    link_id: str | None = Field(default=None, description="`source|target|relation`.")
    verification_nonce: str | None = Field(
        default=None, description="Once used for a link, never taken again (409)."
    )

    def choice(self) -> LinkChoice:
        return LinkChoice(self.source_id, self.target_id, self.link_id, self.verification_nonce)


class LinkedBody(msgspec.Struct):
    """The link exists now; `attest_level` says who vouches for it."""

    linked: bool
    attest_level: str
    source_id: str
    target_id: str
    relation: str


class UnlinkedBody(msgspec.Struct):
    """Whether there was anything to remove."""

    deleted: bool


class LinksBody(msgspec.Struct):
    """Links in both directions; optional keys are left out when unset."""

    links: list[dict[str, str]]
    count: int


class VerifiedBody(msgspec.Struct):
    """`verified` holds for a link without a signature, too: see `signature_present`."""

    verified: bool
    attest_level: str
    signature_present: bool
    observed_by: str | None
    source_id: str
    target_id: str
    relation: str
    findings: tuple[str, ...]


def verified_body(check: LinkCheck) -> VerifiedBody:
    link = check.link
    return VerifiedBody(
        verified=check.is_verified,
        attest_level=link.attest_level or "unsigned",
        signature_present=check.signature.is_present,
        observed_by=link.observed_by,
        source_id=link.source_id,
        target_id=link.target_id,
        relation=link.relation,
        findings=check.signature.findings,
    )
