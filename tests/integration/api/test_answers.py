"""What the API's document says of the memories group's answers is what comes."""

import msgspec
import pytest

from app.api.schemas import answers

MEMORY = {
    "title": "Coffee",
    "content": "black coffee",
    "source_uri": "doc:a",
    "source_span": {"start": 0, "end": 1},
    "detect_conflicts": True,
}


def check(reply, answer):
    body = reply.json()
    msgspec.convert(body, answer)
    named = {field.encode_name for field in msgspec.structs.fields(answer)}
    assert body.keys() <= named


@pytest.mark.parametrize("path", ["", "/bulk"])
async def test_stores_are_as_documented(api, path):
    body = [MEMORY, {**MEMORY, "title": ""}] if path else MEMORY
    reply = await api.post(f"/api/v1/memories{path}", json=body)
    check(reply, answers.BulkAnswer if path else answers.StoredAnswer)


async def test_reads_and_changes_are_as_documented(api):
    memory_id = (await api.post("/api/v1/memories", json=MEMORY)).json()["id"]
    url = f"/api/v1/memories/{memory_id}"

    check(await api.get(url), answers.ReadAnswer)
    check(await api.get("/api/v1/memories"), answers.ListAnswer)
    check(await api.put(url, json={"priority": 2}), answers.MemoryFields)
    check(await api.get("/api/v1/search", params={"q": "coffee"}), answers.SearchAnswer)
    asked = {"context": "coffee", "budget_tokens": 9, "verbose_provenance": True}
    recalled = await api.post("/api/v1/recall", json=asked)
    check(recalled, answers.RecallAnswer)
    row = recalled.json()["memories"][0]
    assert row.keys() <= {one.encode_name for one in msgspec.structs.fields(answers.ScoredMemory)}
    check(await api.post(f"{url}/promote"), answers.PromoteAnswer)


async def test_the_archives_answers_are_as_documented(api):
    memory_id = (await api.post("/api/v1/memories", json=MEMORY)).json()["id"]

    asked = {"namespace": "global"}
    check(await api.post("/api/v1/forget", json={**asked, "dry_run": True}), answers.ForgetAnswer)
    check(await api.post("/api/v1/archive", json={"ids": [memory_id, "x"]}), answers.MovedAnswer)
    check(await api.get("/api/v1/archive"), answers.ArchiveAnswer)
    check(await api.get("/api/v1/archive/stats"), answers.ArchiveStatsAnswer)
