"""The OpenAPI document and its page."""

import re
from typing import cast

import msgspec
import pytest
from litestar import get, post
from litestar.params import FromPath, JSONBody
from litestar.testing import AsyncTestClient

from app.api.options import ApiOptions
from app.api.reference import render
from app.api.schemas.body import Body
from app.asgi import create_app
from app.services.bundle import Services
from tests.architecture.source import ROOT


class OneId:
    def uuid4(self):
        return "0123abcd-0000-4000-8000-000000000000"


class Note(Body):
    title: str


@post("/notes", tags=["Memories"])
async def write(data: JSONBody[Note]) -> dict[str, str]:
    """Write a note."""
    return {"title": data.title}


@get("/notes/{name:str}")
async def read(name: FromPath[str]) -> dict[str, str]:
    return {"title": name}


@pytest.fixture
async def client():
    app = create_app(cast(Services, None), ApiOptions(), OneId(), routes=(write, read))
    async with AsyncTestClient(app) as opened:
        yield opened


@pytest.fixture
async def document(client):
    return (await client.get("/schema/openapi.json")).json()


def test_the_document_is_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    assert document["info"] == {
        "title": "ai-memory",
        "version": "0.7.0",
        "description": document["info"]["description"],
    }


def test_every_refusal_has_the_one_shape(document):
    for item in document["paths"].values():
        for operation in item.values():
            for status, reply in operation["responses"].items():
                if status >= "400":
                    assert reply == {"$ref": f"#/components/responses/Refused{status}"}
    shared = document["components"]["responses"]["Refused404"]["content"]["application/json"]
    assert shared["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


def test_bodies_may_be_refused_for_their_size_type_and_fields(document):
    written = document["paths"]["/notes"]["post"]["responses"]
    seen = document["paths"]["/notes/{name}"]["get"]["responses"]

    assert {"413", "415", "422", "429", "409"} <= set(written)
    assert not {"413", "415", "422", "429", "409"} & set(seen)


def test_a_handlers_docstring_describes_its_operation(document):
    assert document["paths"]["/notes"]["post"]["description"] == "Write a note."


def test_callers_may_say_who_they_are(document):
    parameters = document["paths"]["/notes"]["post"]["parameters"]

    assert {"$ref": "#/components/parameters/AgentId"} in parameters
    assert document["components"]["parameters"]["AgentId"]["name"] == "X-Agent-Id"


def test_every_real_route_is_described_and_stands_under_a_known_tag():
    document = msgspec.json.decode(render())

    known = {tag["name"] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation.get("summary"), (method, path)
            assert set(operation.get("tags", ["none"])) <= known, (method, path)


def test_the_committed_document_is_current():
    committed = ROOT / "docs/openapi.json"

    assert committed.read_bytes() == render(), (
        "stale: run `python -m app.api.reference > docs/openapi.json` and commit it"
    )


def test_the_paths_stand_in_one_order():
    """Else the committed document would be stale in every other process."""
    paths = list(msgspec.json.decode(render())["paths"])

    assert paths == sorted(paths)


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
async def test_the_page_needs_nothing_from_elsewhere(client, path):
    reply = await client.get(path)

    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", reply.text)
    assert "openapi.json" in reply.text
