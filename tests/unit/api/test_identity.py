"""Who a request's caller is."""

from typing import cast

import pytest
from litestar.types import Scope

from app.api.identity import CONTROL_MARK, Claim, Identities
from app.api.options import ApiOptions
from app.config.secret import Secret
from app.domain.agent_id import RESERVED_AGENT_IDS
from app.domain.errors import IdentityMismatchError, InvalidInputError


class OneId:
    def uuid4(self):
        return "0123abcd-0000-4000-8000-000000000000"


def resolve(header=None, claimed=None, where=Claim.BODY, scope=None, **options):
    headers = [] if header is None else [(b"x-agent-id", header.encode("latin-1"))]
    identities = Identities(ApiOptions(**options), OneId())
    whole = cast(Scope, {"headers": headers, **(scope or {})})
    return identities.resolve(whole, claimed, where)


def test_the_header_names_the_caller():
    assert resolve("alice").agent_id == "alice"


def test_an_empty_header_is_none():
    assert resolve("").agent_id == "local"


def test_without_an_id_the_caller_of_a_laptop_is_its_default_identity():
    caller = resolve(default_agent_id="laptop")

    assert caller.agent_id == "laptop"
    assert caller.is_default_identity


def test_without_an_id_the_caller_of_a_keyed_node_is_anonymous():
    caller = resolve(keyless_loopback=False)

    assert caller.agent_id == "anonymous:http"
    assert caller.is_default_identity


def test_a_claim_without_header_is_the_identity():
    caller = resolve(claimed="alice")

    assert caller.agent_id == "alice"
    assert not caller.is_default_identity


def test_a_claim_equal_to_the_header_passes():
    assert resolve("alice", "alice").agent_id == "alice"


@pytest.mark.parametrize(
    ("where", "error", "text"),
    [
        (
            Claim.BODY,
            IdentityMismatchError,
            "agent_id body parameter does not match authenticated caller",
        ),
        (
            Claim.METADATA,
            IdentityMismatchError,
            "metadata.agent_id does not match authenticated caller",
        ),
        (
            Claim.QUERY,
            IdentityMismatchError,
            "agent_id query parameter does not match authenticated caller",
        ),
        (
            Claim.UPDATE,
            IdentityMismatchError,
            (
                "invalid agent_id: agent_id_body_header_mismatch: body-supplied agent_id"
                ' "bob" disagrees with authenticated header-resolved id "alice"'
            ),
        ),
        (
            Claim.RECALL,
            IdentityMismatchError,
            (
                'agent_id_query_header_mismatch: query-supplied agent_id "bob" disagrees with'
                ' authenticated header-resolved id "alice"'
            ),
        ),
        (
            Claim.SESSION,
            InvalidInputError,
            "agent_id body parameter does not match X-Agent-Id header",
        ),
        (
            Claim.PARITY,
            InvalidInputError,
            (
                'agent_id_body_header_mismatch: body-supplied agent_id "bob" disagrees with'
                ' authenticated header-resolved id "alice"'
            ),
        ),
    ],
)
def test_a_claim_that_differs_is_refused_in_the_routes_own_words(where, error, text):
    with pytest.raises(error) as refused:
        resolve("alice", "bob", where)

    assert type(refused.value) is error
    assert refused.value.message == text


def test_a_refused_update_says_what_must_match():
    with pytest.raises(IdentityMismatchError) as refused:
        resolve("alice", "bob", Claim.UPDATE)

    assert refused.value.details["message"] == "body.agent_id must match the X-Agent-Id header"


@pytest.mark.parametrize(
    "bad", ["a b", "ä", "a" * 129, "/a", "a..b", "a\x00", *sorted(RESERVED_AGENT_IDS)]
)
def test_a_malformed_or_reserved_id_is_refused_wherever_it_stands(bad):
    for ask in (lambda: resolve(bad), lambda: resolve(claimed=bad)):
        with pytest.raises(InvalidInputError, match=r"^invalid agent_id: "):
            ask()


def test_two_different_headers_are_refused():
    headers = [(b"x-agent-id", b"alice"), (b"x-agent-id", b"bob")]

    with pytest.raises(InvalidInputError):
        resolve(scope={"headers": headers})


def test_a_listed_id_is_an_admin_where_a_key_proves_the_caller():
    listed = {"admin_agent_ids": frozenset({"root"}), "keyless_loopback": False}

    assert resolve("root", api_key=Secret("k"), **listed).is_admin
    assert not resolve("alice", api_key=Secret("k"), **listed).is_admin


def test_a_listed_id_without_a_key_is_an_admin_only_if_headers_are_trusted():
    listed = {"admin_agent_ids": frozenset({"root"})}

    assert not resolve("root", **listed).is_admin
    assert resolve("root", admin_header_trust=True, **listed).is_admin


def test_a_claim_makes_no_admin():
    options = {"admin_agent_ids": frozenset({"root"}), "admin_header_trust": True}

    assert not resolve(claimed="root", **options).is_admin


def test_the_default_identity_of_a_laptop_may_be_its_admin():
    assert resolve(loopback_default_admin=True).is_admin
    assert not resolve().is_admin
    assert not resolve("alice", loopback_default_admin=True).is_admin
    assert not resolve(loopback_default_admin=True, keyless_loopback=False).is_admin


@pytest.mark.parametrize(
    "scope",
    [
        {"extensions": {CONTROL_MARK: True}},
        {"state": {CONTROL_MARK: True}},
        {"server": ("/run/node.sock", None)},
    ],
)
def test_the_control_socket_is_an_admin_that_sees_everything(scope):
    caller = resolve(scope=scope, keyless_loopback=False)

    assert caller.agent_id == "local"
    assert caller.is_admin
    assert caller.from_control_socket


def test_a_network_address_is_no_control_socket():
    assert not resolve(scope={"server": ("127.0.0.1", 9077)}).from_control_socket


def test_v070s_owner_per_request_can_be_switched_on():
    assert resolve(per_request_anonymous=True).agent_id == "anonymous:req-0123abcd"
    with pytest.raises(IdentityMismatchError):
        resolve(claimed="alice", per_request_anonymous=True)
