"""Who callers are, what they may see and do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.config.key import Key, OnInvalid
from app.config.secret import Secret
from app.config.section import Section
from app.config.values import AgentId, Duration, Flag, NonEmpty, Positive

PermissionMode = Literal["enforce", "advisory", "off"]


class Identity(Section):
    """Who a caller is who does not say."""

    anonymize_default: Annotated[
        Flag,
        Key(
            "Leave the host name out of the ids made for callers.",
            env=("AI_MEMORY_ANONYMIZE",),
        ),
    ] = False
    agent_id: Annotated[
        AgentId | None,
        Key(
            "The caller's id, for the command line and MCP.",
            env=("AI_MEMORY_AGENT_ID",),
            flag="--agent-id",
            in_file=False,
            note="unset: `default_agent_id`",
        ),
    ] = None
    default_agent_id: Annotated[
        AgentId,
        Key(
            "Id of a caller without one: command line, MCP, and HTTP on a loopback node without "
            "a key.",
            ours=True,
            note="on a node with a key or mTLS such HTTP callers are `anonymous:http`",
        ),
    ] = "local"
    per_request_anonymous: Annotated[
        Flag,
        Key(
            "Give each HTTP request without an id a new one of its own, as v0.7.0 does.",
            ours=True,
        ),
    ] = False
    key_dir: Annotated[
        Path | None,
        Key(
            "Folder of the Ed25519 keys.",
            env=("AI_MEMORY_KEY_DIR",),
            in_file=False,
            note="unset: `ai-memory/keys` in the user's configuration folder",
        ),
    ] = None


class Visibility(Section):
    """What a caller sees of others' memories."""

    strict_scopes: Annotated[
        Flag,
        Key(
            "Apply the team, unit and org subtrees of search and recall to lists and gets too.",
            ours=True,
        ),
    ] = False


class Admin(Section):
    """Who may use the routes that see everything."""

    agent_ids: Annotated[
        tuple[AgentId, ...],
        Key(
            "Agents with the admin role; empty means nobody.",
            env=("AI_MEMORY_ADMIN_AGENT_IDS",),
            invalid_items_dropped=True,
            note="the variable is a comma list and replaces the file's; no patterns",
        ),
    ] = ()
    header_trust: Annotated[
        Flag,
        Key(
            "Believe a bare `X-Agent-Id` that names an admin on a node without an API key.",
            env=("AI_MEMORY_ADMIN_HEADER_TRUST",),
            in_file=False,
        ),
    ] = False
    loopback_default: Annotated[
        Flag,
        Key(
            "Make the default identity an admin on a loopback node without an API key.",
            ours=True,
        ),
    ] = False


class PermissionRule(Section):
    """One rule: who, where, which operation, and what is decided."""

    namespace_pattern: NonEmpty
    op: Literal[
        "memory_store",
        "memory_link",
        "memory_delete",
        "memory_archive",
        "memory_consolidate",
        "memory_replay",
    ]
    agent_pattern: NonEmpty = "*"
    decision: Literal["allow", "deny", "ask"]
    reason: str | None = None


class Permissions(Section):
    """Permission rules and how they bind."""

    mode: Annotated[
        PermissionMode,
        Key(
            "What a refusal does: `enforce` stops the call, `advisory` logs it, `off` skips rules.",
            env=("AI_MEMORY_PERMISSIONS_MODE",),
        ),
    ] = "enforce"
    rules: Annotated[
        tuple[PermissionRule, ...],
        Key(
            "`[[permissions.rules]]`: `namespace_pattern`, `op`, `agent_pattern` (default `*`), "
            "`decision` (allow, deny, ask), `reason`."
        ),
    ] = ()


class Governance(Section):
    """The operator's rules."""

    require_operator_pubkey: Annotated[
        Flag,
        Key("Refuse to serve while a rule is in force and no operator key is known."),
    ] = False
    operator_pubkey: Annotated[
        NonEmpty | None,
        Key(
            "The operator's public key, base64.",
            env=("AI_MEMORY_OPERATOR_PUBKEY",),
            in_file=False,
            note="unset: `operator.key.pub` beside the configuration file",
        ),
    ] = None
    fail_open_on_error: Annotated[
        Flag,
        Key(
            "Let a write through when its rules cannot be read.",
            env=("AI_MEMORY_GOVERNANCE_FAIL_OPEN_ON_ERROR",),
            in_file=False,
        ),
    ] = False


class Verify(Section):
    """Verification of link signatures."""

    require_nonce: Annotated[
        Flag, Key("Refuse a verification without a `verification_nonce` (400).")
    ] = False


class Security(Section):
    """Switches that only the environment can set."""

    require_api_key: Annotated[
        Flag,
        Key(
            "Refuse to serve without an API key, on loopback too.",
            env=("AI_MEMORY_REQUIRE_API_KEY",),
            in_file=False,
        ),
    ] = False
    require_agent_attestation: Annotated[
        Flag,
        Key(
            "Refuse unsigned writes (403).",
            env=("AI_MEMORY_REQUIRE_AGENT_ATTESTATION",),
            in_file=False,
        ),
    ] = False
    allow_lax_secret_files: Annotated[
        Flag,
        Key(
            "Accept key and passphrase files that others may read.",
            env=("AI_MEMORY_PASSPHRASE_FILE_ALLOW_LAX_PERMS",),
            in_file=False,
        ),
    ] = False


class SubscriptionSecret(Section):
    """Signing of webhooks and approvals."""

    hmac_secret: Annotated[
        Secret | None,
        Key(
            "Signs webhooks (HMAC-SHA256) and verifies approval calls.",
            note="a subscription's own secret wins; without any, no webhook is sent",
        ),
    ] = None


class Hooks(Section):
    """Hooks."""

    subscription: SubscriptionSecret = Field(default_factory=SubscriptionSecret)


class Subscriptions(Section):
    """Webhook subscriptions."""

    allow_loopback_webhooks: Annotated[
        Flag,
        Key(
            "Accept webhook targets on this machine.",
            env=("AI_MEMORY_ALLOW_LOOPBACK_WEBHOOKS",),
        ),
    ] = False


class RecallScope(Section):
    """Filters that a recall with `session_default` takes when it names none."""

    namespaces: Annotated[
        tuple[NonEmpty, ...] | None, Key("Namespaces; the first one is applied.")
    ] = None
    since: Annotated[
        Duration | None,
        Key(
            "Only memories younger than this, such as 30m, 24h or 7d.",
            on_invalid=OnInvalid.NEXT_LAYER,
        ),
    ] = None
    tier: Annotated[Literal["short", "mid", "long"] | None, Key("Only this tier.")] = None
    limit: Annotated[
        Positive | None,
        Key("Most results.", unit="rows", on_invalid=OnInvalid.NEXT_LAYER, note="at most 50"),
    ] = None


class AgentDefaults(Section):
    """Defaults of every agent."""

    recall_scope: RecallScope = Field(default_factory=RecallScope)


class Agents(Section):
    """Agents."""

    defaults: AgentDefaults = Field(default_factory=AgentDefaults)
