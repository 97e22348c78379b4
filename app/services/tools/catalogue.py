"""The 74 tools by family: name, meaning, required and optional parameters (http-api appendix A).

One table for `GET /tools/list`, the capabilities document and MCP.
"""

from __future__ import annotations

from typing import Final

from app.services.tools.tool import Tool

TOOLS: Final[tuple[Tool, ...]] = (
    Tool(
        "core",
        "store",
        "Create a memory.",
        "title content",
        "tier namespace tags priority confidence source metadata agent_id scope on_conflict"
        " kind force source_uri signature created_at citations source_span",
    ),
    Tool(
        "core",
        "recall",
        "Find memories for a context, best first.",
        "context",
        "namespace limit tags since until as_agent budget_tokens context_tokens"
        " session_default session_id include_archived has_citations source_uri_prefix kinds"
        " confidence_tier verbose_provenance format",
    ),
    Tool("core", "list", "Browse memories by filters.", "", "namespace tier limit agent_id format"),
    Tool("core", "get", "One memory with its links.", "id", ""),
    Tool(
        "core",
        "search",
        "Find memories that have every word.",
        "query",
        "namespace tier limit agent_id as_agent include_archived format source_uri",
    ),
    Tool("core", "load_family", "Memories of one family.", "family", "namespace k"),
    Tool(
        "core", "smart_load", "Choose a family from an intent and load it.", "intent", "namespace k"
    ),
    Tool(
        "lifecycle",
        "update",
        "Change a memory, or supersede it.",
        "id",
        "title content tier namespace tags priority confidence expires_at metadata"
        " expected_version edit_source source_uri",
    ),
    Tool("lifecycle", "delete", "Remove one memory.", "id", "agent_id"),
    Tool("lifecycle", "forget", "Remove memories by filter.", "", "namespace pattern tier dry_run"),
    Tool("lifecycle", "gc", "Collect expired memories.", "", "dry_run"),
    Tool(
        "lifecycle",
        "promote",
        "Make a memory last, or copy it up.",
        "id",
        "target_tier to_namespace agent_id",
    ),
    Tool(
        "lifecycle",
        "capture_turn",
        "Store a conversation turn, once.",
        "host_session_id host_turn_index role content",
        "host_kind host_version tool_calls timestamp_iso host_signature_b64 host_pubkey_b64"
        " namespace metadata",
    ),
    Tool(
        "graph",
        "kg_query",
        "Walk links out from a memory.",
        "source_id",
        "max_depth valid_at allowed_agents limit include_invalidated by_source_uri namespace"
        " as_agent",
    ),
    Tool("graph", "kg_timeline", "Dated facts about one memory.", "source_id", "since until limit"),
    Tool(
        "graph",
        "kg_invalidate",
        "End the validity of a link.",
        "source_id target_id relation",
        "valid_until agent_id",
    ),
    Tool("graph", "link", "Link two memories.", "source_id target_id", "relation agent_id"),
    Tool("graph", "get_links", "Links of a memory.", "id", ""),
    Tool(
        "graph",
        "entity_register",
        "Name an entity and its aliases.",
        "canonical_name namespace",
        "aliases metadata agent_id",
    ),
    Tool("graph", "entity_get_by_alias", "Find an entity by any name.", "alias", "namespace"),
    Tool(
        "graph",
        "get_taxonomy",
        "Tree of namespaces with counts.",
        "",
        "namespace_prefix depth limit",
    ),
    Tool("graph", "replay", "Transcripts behind a memory.", "memory_id", "verbose depth agent_id"),
    Tool(
        "graph",
        "verify",
        "Check the signature of a link.",
        "",
        "link_id source_id target_id relation",
    ),
    Tool(
        "graph",
        "find_paths",
        "Shortest paths between two memories.",
        "source_id target_id",
        "max_depth max_results include_invalidated",
    ),
    Tool("governance", "pending_list", "Actions that wait for approval.", "", "status limit"),
    Tool(
        "governance", "pending_approve", "Approve an action and run it.", "id", "remember agent_id"
    ),
    Tool("governance", "pending_reject", "Reject a waiting action.", "id", "remember agent_id"),
    Tool(
        "governance",
        "namespace_set_standard",
        "Give a namespace its standard.",
        "namespace id",
        "parent governance agent_id",
    ),
    Tool(
        "governance",
        "namespace_get_standard",
        "Read a namespace's standard.",
        "namespace",
        "inherit",
    ),
    Tool(
        "governance",
        "namespace_clear_standard",
        "Take a namespace's standard away.",
        "namespace",
        "",
    ),
    Tool(
        "governance",
        "subscribe",
        "Register a webhook.",
        "url",
        "events secret namespace_filter agent_filter event_types",
    ),
    Tool("governance", "unsubscribe", "Remove a webhook.", "id", ""),
    Tool(
        "power",
        "consolidate",
        "Merge memories into one.",
        "ids title",
        "summary namespace agent_id",
    ),
    Tool("power", "detect_contradiction", "Ask whether two memories clash.", "id_a id_b", ""),
    Tool(
        "power",
        "check_duplicate",
        "Look for a near-duplicate first.",
        "title content",
        "namespace threshold",
    ),
    Tool("power", "auto_tag", "Tag a memory by language model.", "id", ""),
    Tool("power", "expand_query", "More search terms for a query.", "query", ""),
    Tool("power", "inbox", "Messages for an agent.", "", "agent_id unread_only limit"),
    Tool("power", "subscription_replay", "Past events of a webhook.", "subscription_id since", ""),
    Tool(
        "power",
        "subscription_dlq_list",
        "Events that were not delivered.",
        "",
        "subscription_id limit",
    ),
    Tool("power", "quota_status", "Counters and limits of an agent.", "", "agent_id namespace"),
    Tool(
        "power",
        "reflect",
        "Write a reflection over memories.",
        "source_ids title content",
        "namespace tier tags priority confidence agent_id metadata depth",
    ),
    Tool("power", "reflection_origin", "Where a reflection came from.", "memory_id", ""),
    Tool(
        "power", "dependents_of_invalidated", "What rests on a withdrawn memory.", "memory_id", ""
    ),
    Tool(
        "power",
        "check_agent_action",
        "Ask the rules about an action.",
        "kind",
        "command cwd path byte_estimate host scheme binary args custom_kind agent_id",
    ),
    Tool("power", "rule_list", "Rules set by the operator.", "", "kind enabled_only"),
    Tool("power", "export_reflection", "A reflection as text or JSON.", "memory_id", "format"),
    Tool(
        "power", "offload", "Park content behind a reference.", "content", "namespace ttl_seconds"
    ),
    Tool("power", "deref", "Fetch parked content.", "ref_id", ""),
    Tool(
        "power",
        "atomise",
        "Split a memory into atoms.",
        "memory_id",
        "max_atom_tokens force_re_atomise",
    ),
    Tool("power", "persona", "The persona of an entity.", "entity_id", "namespace"),
    Tool("power", "persona_generate", "Write an entity's persona anew.", "entity_id", "namespace"),
    Tool(
        "power",
        "ingest_multistep",
        "Take content in by stages.",
        "content",
        "namespace pipeline_variant pipeline_override",
    ),
    Tool("power", "calibrate_confidence", "Usual confidence by source.", "", "days output_format"),
    Tool(
        "power", "share", "Copy a memory to another agent.", "source_memory_id target_agent_id", ""
    ),
    Tool(
        "meta",
        "capabilities",
        "What this server can do.",
        "",
        "accept family include_schema verbose",
    ),
    Tool("meta", "agent_register", "Register an agent.", "agent_id agent_type", "capabilities"),
    Tool("meta", "agent_list", "Registered agents.", "", ""),
    Tool(
        "meta", "session_start", "Memories to start a session with.", "", "namespace limit format"
    ),
    Tool("meta", "stats", "Statistics of the store.", "", ""),
    Tool(
        "meta",
        "recall_observations",
        "What recalls gave and what was used.",
        "",
        "recall_id consumed since until limit",
    ),
    Tool("archive", "archive_list", "Archived memories.", "", "namespace limit offset"),
    Tool(
        "archive",
        "archive_purge",
        "Erase archived memories.",
        "",
        "older_than_days agent_id as_admin",
    ),
    Tool("archive", "archive_restore", "Bring an archived memory back.", "id", ""),
    Tool("archive", "archive_stats", "Counts of the archive.", "", ""),
    Tool("other", "list_subscriptions", "Own webhooks.", "", ""),
    Tool(
        "other",
        "notify",
        "Send a message to an agent.",
        "target_agent_id title payload",
        "priority tier",
    ),
    Tool("other", "skill_register", "Register a skill.", "", "folder_path inline_skill"),
    Tool("other", "skill_list", "Registered skills.", "", "namespace filter"),
    Tool("other", "skill_get", "One skill.", "skill_id", ""),
    Tool("other", "skill_resource", "One file of a skill.", "skill_id resource_path", ""),
    Tool("other", "skill_export", "Write a skill to a folder.", "skill_id target_folder", ""),
    Tool(
        "other",
        "skill_promote_from_reflection",
        "Make a skill of a reflection.",
        "reflection_id skill_name skill_description",
        "parameters_schema",
    ),
    Tool(
        "other",
        "skill_compositional_context",
        "A skill with its reflections.",
        "skill_id",
        "budget_tokens",
    ),
)
