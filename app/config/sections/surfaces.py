"""MCP, the session opener and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.config.key import Key, OnInvalid
from app.config.section import Section
from app.config.values import Flag, NonEmpty, NotNegative, Whole


class Mcp(Section):
    """Tools offered over MCP."""

    profile: Annotated[
        NonEmpty,
        Key(
            "Tool profile: core, graph, admin, power, full, or a comma list of families.",
            env=("AI_MEMORY_PROFILE",),
            flag="mcp --profile",
            note="lower case only; `mcp` refuses an unknown word, the daemon then offers `core`",
        ),
    ] = "core"
    allowlist: Annotated[
        Mapping[str, tuple[NonEmpty, ...]],
        Key(
            "Agent pattern to the families it may expand; empty turns the gate off.",
            note='exact id, then longest prefix, then `"*"`, else nothing',
        ),
    ] = Field(default_factory=dict)


class Boot(Section):
    """The `boot` command that opens a session."""

    enabled: Annotated[
        Flag,
        Key("Print the opener; false prints nothing.", env=("AI_MEMORY_BOOT_ENABLED",)),
    ] = True
    redact_titles: Annotated[Flag, Key("Leave titles out of the opener.")] = False


class CompliancePreset(Section):
    """A named set of audit demands."""

    applied: Annotated[Flag, Key("Take this preset into account.")] = False
    retention_days: Annotated[
        NotNegative | None, Key("Least retention.", unit="days", on_invalid=OnInvalid.NEXT_LAYER)
    ] = None
    redact_content: Annotated[Flag | None, Key("Declared demand: no content in the trail.")] = None
    attestation_cadence_minutes: Annotated[
        NotNegative | None,
        Key("Longest time between checkpoints.", unit="minutes", on_invalid=OnInvalid.NEXT_LAYER),
    ] = None
    encrypt_at_rest: Annotated[Flag | None, Key("Declared demand: an encrypted store.")] = None
    pseudonymize_actors: Annotated[Flag | None, Key("Declared demand: no agent ids.")] = None


class Compliance(Section):
    """Presets of the audit trail."""

    soc2: CompliancePreset = Field(default_factory=CompliancePreset)
    hipaa: CompliancePreset = Field(default_factory=CompliancePreset)
    gdpr: CompliancePreset = Field(default_factory=CompliancePreset)
    fedramp: CompliancePreset = Field(default_factory=CompliancePreset)

    def applied(self) -> tuple[CompliancePreset, ...]:
        presets = (self.soc2, self.hipaa, self.gdpr, self.fedramp)
        return tuple(preset for preset in presets if preset.applied)


class Audit(Section):
    """The file trail of who did what."""

    enabled: Annotated[Flag, Key("Keep the trail.")] = False
    path: Annotated[
        Path | None,
        Key(
            "Folder of `audit.log`, or the file itself if the name has an extension.",
            env=("AI_MEMORY_AUDIT_DIR",),
            flag="audit --audit-dir",
            note="unset: the platform's folder for state; a world-writable folder is refused",
        ),
    ] = None
    schema_version: Annotated[Whole, Key("Version of the trail's lines.")] = 1
    redact_content: Annotated[Flag, Key("Content is never written; only true is supported.")] = True
    hash_chain: Annotated[Flag, Key("Each line carries the hash of the one before.")] = True
    attestation_cadence_minutes: Annotated[
        NotNegative,
        Key(
            "Time between checkpoints.",
            unit="minutes",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="0 turns them off",
        ),
    ] = 60
    append_only: Annotated[Flag, Key("Ask the system to make the file append-only.")] = True
    retention_days: Annotated[
        NotNegative,
        Key("Age of the oldest line kept.", unit="days", on_invalid=OnInvalid.NEXT_LAYER),
    ] = 90
    compliance: Compliance = Field(default_factory=Compliance)

    def retention_days_in_force(self) -> int:
        """The longest of the base and every applied preset."""
        return max(
            self.retention_days,
            *(preset.retention_days or 0 for preset in self.compliance.applied()),
            0,
        )

    def cadence_minutes_in_force(self) -> int:
        """The shortest above 0 of the base and every applied preset; 0 if there is none."""
        demanded = (
            self.attestation_cadence_minutes,
            *(preset.attestation_cadence_minutes or 0 for preset in self.compliance.applied()),
        )
        return min((minutes for minutes in demanded if minutes > 0), default=0)
