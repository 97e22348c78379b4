"""Doctor's rules: which facts make a section a warning or critical."""

import pytest

from app.cli import diagnosis
from app.cli.diagnosis import Diagnosis, Section, Severity
from app.cli.reachability import severity_of
from app.domain.memory import Json

SOUND: dict[str, Json] = {
    "total": 3,
    "expiring_soon": 0,
    "links_count": 1,
    "db_size_bytes": 4096,
    "dim_violations": 0,
    "index_evictions_total": 0,
    "embedding_backlog": 0,
    "embedding": {"vectors": 3},
    "by_tier": [{"tier": "mid", "count": 3}],
    "by_namespace": [{"namespace": f"n{number}", "count": 1} for number in range(12)],
}


def test_a_sound_store_is_information_with_its_facts():
    section = diagnosis.storage(SOUND)
    facts = dict(section.facts)
    assert section.severity is Severity.INFO
    assert facts["total_memories"] == "3"
    assert facts["tier::mid"] == "3"
    assert sum(name.startswith("ns::") for name in facts) == 10


@pytest.mark.parametrize(
    ("section", "change", "severity"),
    [
        (diagnosis.storage, {"dim_violations": 1}, Severity.CRITICAL),
        (diagnosis.index, {"index_evictions_total": 1}, Severity.CRITICAL),
        (diagnosis.index, {"embedding": {"vectors": 95_000}}, Severity.WARNING),
        (diagnosis.index, {"embedding": {"vectors": 94_999}}, Severity.INFO),
    ],
)
def test_what_is_wrong_with_a_store(section, change, severity):
    assert section({**SOUND, **change}).severity is severity


@pytest.mark.parametrize(
    ("tier", "mode", "severity"),
    [
        ("semantic", "hybrid", Severity.INFO),
        ("semantic", "degraded", Severity.WARNING),
        ("smart", "keyword_only", Severity.WARNING),
        ("keyword", "keyword_only", Severity.INFO),
    ],
)
def test_a_semantic_tier_that_recalls_by_keyword_is_a_warning(tier, mode, severity):
    document = {"tier": tier, "features": {"recall_mode_active": mode}}
    assert diagnosis.recall(document).severity is severity


@pytest.mark.parametrize(
    ("status", "severity"),
    [(200, "info"), (401, "warning"), (403, "warning"), (429, "warning"), (500, "warning"),
     (404, "critical"), (400, "critical")],
)  # fmt: skip
def test_what_a_model_server_answers(status, severity):
    assert severity_of(status) == severity


def test_the_worst_section_is_the_verdict_and_what_is_not_available_is_none():
    names = [Severity.NOT_AVAILABLE, Severity.INFO, Severity.WARNING, Severity.CRITICAL]
    for index, worst in enumerate(names):
        found = Diagnosis("local", "x", "t", [Section("s", one) for one in names[: index + 1]])
        assert found.overall is (Severity.INFO if worst is Severity.NOT_AVAILABLE else worst)
        assert found.document()["overall"] == found.overall.value
