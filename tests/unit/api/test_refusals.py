"""What the surface refuses, and how: one JSON envelope, the right status, never a bare 500."""

import asyncio
from typing import cast

import httpx
import msgspec
import pytest
from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import ServerSentEvent, Stream
from litestar.testing import AsyncTestClient

from app.api.errors import STATUS, status_of
from app.api.options import ApiOptions
from app.api.schemas.body import Body
from app.asgi import create_app
from app.config.errors import ConfigRejectedError
from app.config.secret import Secret
from app.domain import errors as tree
from app.services.bundle import Services

JSON = {"content-type": "application/json"}
LIMIT = 2_000


class Hot(msgspec.Struct):
    title: str
    priority: int = 5
    tags: list[str] = []


class Plain(Body):
    title: str
    priority: int = 5
    tags: tuple[str, ...] = ()


@post("/hot")
async def hot(data: JSONBody[Hot]) -> Hot:
    return data


@post("/plain")
async def plain(data: JSONBody[Plain]) -> dict[str, object]:
    return data.model_dump()


@post("/lenient", opt={"body_error_status": 400})
async def lenient(data: JSONBody[Hot]) -> Hot:
    return data


@post("/optional")
async def optional(data: JSONBody[Hot | None] = None) -> dict[str, bool]:
    return {"given": data is not None}


@get("/count")
async def count(limit: FromQuery[int]) -> dict[str, int]:
    return {"limit": limit}


@get("/never")
async def never() -> None:
    await asyncio.Event().wait()


@get("/stream")
async def stream() -> ServerSentEvent:
    async def events():
        yield "one"
        await asyncio.sleep(0.3)  # longer than the surface's time limit
        yield "two"

    return ServerSentEvent(events())


@get("/export")
async def export() -> Stream:
    async def parts():
        for _ in range(4):
            yield b"part "
            await asyncio.sleep(0.1)  # together longer than the surface's time limit

    return Stream(parts())


@get("/stuck")
async def stuck() -> Stream:
    async def parts():
        yield b"part "
        await asyncio.Event().wait()

    return Stream(parts())


def all_errors(base=tree.AiMemoryError):
    return [base, *(one for child in base.__subclasses__() for one in all_errors(child))]


# A configuration that is rejected ends the process before it serves.
ERRORS = {one.__name__: one for one in all_errors() if one is not ConfigRejectedError}


@get("/raise/{name:str}")
async def raising(name: FromPath[str]) -> None:
    raise ERRORS[name]("what happened", owner="alice", odd=object())


@get("/bug")
async def bug() -> None:
    raise ZeroDivisionError("secret detail")


ROUTES = (hot, plain, lenient, optional, count, never, stream, export, stuck, raising, bug)


class OneId:
    def uuid4(self):
        return "0123abcd-0000-4000-8000-000000000000"


def surface(**options):
    chosen = ApiOptions(body_bytes_max=LIMIT, request_timeout_seconds=0.2, **options)
    # No route here asks for a service.
    return AsyncTestClient(create_app(cast(Services, None), chosen, OneId(), routes=ROUTES))


@pytest.fixture
async def client():
    async with surface() as opened:
        yield opened


def assert_envelope(reply, status):
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/json")
    body = reply.json()
    assert isinstance(body["error"], str)
    assert body["error"]
    assert body["request_id"] == reply.headers["x-request-id"]
    return body


async def test_an_unknown_path_is_404_in_json(client):
    assert_envelope(await client.get("/nowhere"), 404)


async def test_a_wrong_method_is_405_and_says_which_are_right(client):
    reply = await client.get("/hot")

    assert_envelope(reply, 405)
    assert "POST" in reply.headers["allow"]


async def test_options_is_200_and_empty_everywhere_and_needs_no_key():
    async with surface(api_key=Secret("k")) as client:
        for path in ("/hot", "/nowhere"):
            reply = await client.options(path)
            assert (reply.status_code, reply.content) == (200, b"")


async def test_every_reply_varies_by_origin_and_allows_none(client):
    for reply in (await client.get("/nowhere"), await client.options("/hot")):
        assert "origin, access-control-request-method" in reply.headers["vary"]
        assert not [name for name in reply.headers if name.startswith("access-control-allow")]


async def test_head_is_get_without_a_body(client):
    reply = await client.head("/count?limit=3")

    assert (reply.status_code, reply.content) == (200, b"")


@pytest.mark.parametrize("path", ["/hot", "/plain"])
async def test_a_missing_field_is_422_and_named(client, path):
    body = assert_envelope(await client.post(path, json={"priority": 1}), 422)

    assert body["error"] == "missing required field: title"
    assert body["fields"] == ["title"]


@pytest.mark.parametrize("path", ["/hot", "/plain"])
@pytest.mark.parametrize("wrong", [{"priority": "5"}, {"title": 5}, {"tags": "a"}])
async def test_a_mistyped_field_is_422_and_named(client, path, wrong):
    body = assert_envelope(await client.post(path, json={"title": "t", **wrong}), 422)

    assert body["fields"] == list(wrong)


@pytest.mark.parametrize("path", ["/hot", "/plain"])
async def test_unknown_fields_are_ignored(client, path):
    reply = await client.post(path, json={"title": "t", "tags": ["a"], "new": 1})

    assert reply.status_code == 201
    assert reply.json() == {"title": "t", "priority": 5, "tags": ["a"]}


async def test_a_lenient_route_says_everything_with_its_own_status(client):
    missing = await client.post("/lenient", json={})
    untyped = await client.post("/lenient", content=b"{}")

    assert assert_envelope(missing, 400)["error"] == "missing required field: title"
    body = assert_envelope(untyped, 400)
    assert body["error"] == "expected Content-Type: application/json"


@pytest.mark.parametrize("path", ["/hot", "/plain", "/lenient"])
@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"",
        b"nonsense",
        b'{"title": "t"} trailing',
        b'{"title": "\\ud800"}',
        b'{"title": "\xed\xa0\x80"}',
        b'{"title": "\xff"}',
        b'{"title": NaN}',
        b'{"title": "t", "priority": 1e999}',
        b'{"title": "t", "other": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
async def test_what_is_no_json_is_400(client, path, text):
    reply = await client.post(path, content=text, headers=JSON)

    if b"[[" in text and text.endswith(b"}"):  # deep, but sound, and in an unknown key
        assert reply.status_code in {201, 400}
    else:
        assert_envelope(reply, 400)


async def test_a_body_without_json_content_type_is_415(client):
    reply = await client.post("/hot", content=b"{}", headers={"content-type": "text/plain"})

    assert_envelope(reply, 415)


async def test_a_missing_body_without_content_type_is_415(client):
    assert_envelope(await client.post("/hot"), 415)


async def test_json_with_a_charset_or_a_suffix_is_json(client):
    for kind in ("application/json; charset=utf-8", "application/problem+json"):
        reply = await client.post("/hot", content=b'{"title":"t"}', headers={"content-type": kind})
        assert reply.status_code == 201


async def test_an_optional_body_may_be_left_out(client):
    assert (await client.post("/optional")).json() == {"given": False}
    assert (await client.post("/optional", json={"title": "t"})).json() == {"given": True}


@pytest.mark.parametrize("query", ["", "?limit=x", "?limit="])
async def test_an_unreadable_parameter_is_400_and_named(client, query):
    body = assert_envelope(await client.get(f"/count{query}"), 400)

    assert body["fields"] == ["limit"]


async def chunks(total):
    for _ in range(total // 500):
        yield b"x" * 500


async def test_a_body_above_the_limit_is_413_and_says_the_limit(client):
    reply = await client.post("/hot", content=b"x" * (LIMIT + 1), headers=JSON)

    assert assert_envelope(reply, 413)["limit_bytes"] == LIMIT


@pytest.mark.parametrize("said", [{}, {"content-length": "5"}])
async def test_a_body_is_counted_whatever_its_length_header_says(client, said):
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(client.app), base_url="http://node"
    ) as streaming:
        reply = await streaming.post("/hot", content=chunks(LIMIT + 500), headers={**JSON, **said})

    assert assert_envelope(reply, 413)["limit_bytes"] == LIMIT


async def test_a_body_at_the_limit_passes(client):
    body = b'{"title":"' + b"x" * (LIMIT - 12) + b'"}'

    assert len(body) == LIMIT
    assert (await client.post("/hot", content=body, headers=JSON)).status_code == 201


async def test_a_request_that_takes_too_long_is_504(client):
    body = assert_envelope(await client.get("/never"), 504)

    assert body["error"] == "request timed out"


async def test_a_stream_outlives_the_time_limit(client):
    assert (await client.get("/stream")).text.count("data:") == 2


async def test_a_long_reply_lasts_while_its_parts_come_in_time(client):
    assert (await client.get("/export")).text == "part " * 4


async def test_a_reply_that_gets_stuck_ends_without_its_end(client):
    sent = []

    async def receive():
        await asyncio.Event().wait()  # the client stays, and says no more

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/stuck", "headers": [], "query_string": b""}
    async with asyncio.timeout(5):
        await client.app(scope, receive, send)

    assert [message.get("more_body") for message in sent] == [None, True]


@pytest.mark.parametrize("name", sorted(ERRORS))
async def test_every_error_of_the_tree_has_its_status_and_its_details(client, name):
    error = ERRORS[name]
    status = status_of(error("x"))

    body = assert_envelope(await client.get(f"/raise/{name}"), status)

    if status == 500:
        assert set(body) == {"error", "request_id"}
    else:
        assert body["error"] == "what happened"
        assert body["owner"] == "alice"
        assert body["code"] == error.code


def test_every_branch_of_the_tree_is_mapped():
    branches = set(tree.AiMemoryError.__subclasses__())

    assert branches - set(STATUS) == {
        one for one in branches if one.__module__ != tree.AiMemoryError.__module__
    }


async def test_try_again_says_when(client):
    reply = await client.get("/raise/StoreFullError")

    assert reply.headers["retry-after"] == "1"
    assert reply.json()["retry_after"] == 1


async def test_a_bug_tells_the_client_nothing_but_its_id(client):
    body = assert_envelope(await client.get("/bug"), 500)

    assert set(body) == {"error", "request_id"}
    assert body["error"] == "internal server error"


async def test_request_ids_differ_and_a_clients_own_is_kept(client):
    first, second = [(await client.get("/nowhere")).headers["x-request-id"] for _ in range(2)]
    own = await client.get("/nowhere", headers={"X-Request-Id": "trace-1"})
    bad = await client.get("/nowhere", headers={"X-Request-Id": "no spaces"})

    assert first != second
    assert own.json()["request_id"] == "trace-1"
    assert bad.headers["x-request-id"] != "no spaces"


async def test_without_the_key_every_path_is_401():
    async with surface(api_key=Secret("a+b c")) as client:
        for path in ("/count", "/nowhere", "/api/v1/health/"):
            body = assert_envelope(await client.get(path), 401)
            assert body["error"] == "missing or invalid API key"


@pytest.mark.parametrize(
    "query",
    [
        "api_key=a%2Bb%20c",
        "api_key=a+b%20c",  # plus stays plus
        "api_key=wrong&api_key=a%2Bb%20c",
    ],
)
async def test_the_key_may_be_in_the_query(query):
    async with surface(api_key=Secret("a+b c")) as client:
        assert (await client.get(f"/count?limit=1&{query}")).status_code == 200


@pytest.mark.parametrize("headers", [{"X-API-Key": "key"}, {"x-api-key": "key"}])
async def test_the_key_may_be_in_the_header(headers):
    async with surface(api_key=Secret("key")) as client:
        assert (await client.get("/count?limit=1", headers=headers)).status_code == 200


async def test_a_wrong_key_is_401():
    async with surface(api_key=Secret("key")) as client:
        for offered in ("", "ke", "keyy", "kéy"):
            reply = await client.get("/count?limit=1", headers={"X-API-Key": offered.encode()})
            assert reply.status_code == 401
