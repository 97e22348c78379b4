"""Memories as a compact table (http-api 4.1)."""

from dataclasses import replace

from app.domain.memory import Memory
from app.domain.toon import Row, render

MEMORY = Memory(
    id="m1",
    tier="mid",
    namespace="a/b",
    title="Coffee",
    content="black",
    tags=("x", "y"),
    priority=5,
    confidence=0.5,
    source="api",
    access_count=3,
    created_at="2026-06-12T09:15:02.000000+00:00",
    updated_at="2026-06-12T09:15:03.000000+00:00",
    metadata={"agent_id": "alice"},
)


def test_the_first_line_holds_what_is_known_and_a_row_follows_per_memory():
    head: dict[str, str | int | None] = {
        "count": 2,
        "mode": "keyword",
        "tokens_used": 7,
        "budget_tokens": None,
    }
    text = render([Row(MEMORY, 0.873), Row(MEMORY)], head, compact=True)

    assert text.splitlines() == [
        "count:2|mode:keyword|tokens_used:7",
        "memories[id|title|tier|namespace|priority|score|tags|agent_id]:",
        "m1|Coffee|mid|a/b|5|0.873|x,y|alice",
        "m1|Coffee|mid|a/b|5||x,y|alice",
    ]


def test_the_full_form_has_thirteen_columns_with_metadata_as_json():
    row = render([Row(MEMORY, 1.0)], {"count": 1}, compact=False).splitlines()[2]

    assert row == (
        "m1|Coffee|mid|a/b|5|0.5|1.0|3|x,y|api|2026-06-12T09\\:15\\:02.000000+00\\:00"
        '|2026-06-12T09\\:15\\:03.000000+00\\:00|{"agent_id"\\:"alice"}'
    )


def test_only_what_would_break_a_row_is_escaped():
    odd = replace(MEMORY, title='a|b\nc\rd\\e:f "g", h')
    row = render([Row(odd)], {"count": 1}, compact=True).splitlines()[2]

    assert row.startswith('m1|a\\|b\\nc\\rd\\\\e\\:f "g", h|mid|')


def test_a_memory_without_owner_has_an_empty_last_cell():
    assert render([Row(replace(MEMORY, metadata={}))], {}, compact=True).endswith("|x,y|")
