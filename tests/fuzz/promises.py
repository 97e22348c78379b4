"""What every reply of the node promises, as checks of the fuzzer (http-api 1.7 and 7.4).

Loaded by the fuzzer's process, not by pytest. The classes keep what they saw, and one leaves the
routes it met in the file that `FUZZ_ROUTES_FILE` names.
"""

import json
import os
from pathlib import Path
from typing import Final

import schemathesis

ROUTES_FILE: Final = "FUZZ_ROUTES_FILE"

# Without a language model, an embedder and a mesh these say so, and nothing else may answer 503.
WITHOUT_FEATURE: Final = frozenset(
    {
        "POST /api/v1/auto_tag",
        "POST /api/v1/check_duplicate",
        "POST /api/v1/expand_query",
        "GET /api/v1/federation/peers",
        "POST /api/v1/federation/accept",
        "POST /api/v1/federation/forget",
        "POST /api/v1/federation/leave",
        "POST /api/v1/federation/scrub",
        "POST /api/v1/reembed",
    }
)


@schemathesis.check
def fails_only_as_documented(ctx, response, case):
    """No fault, no timeout; 503 only from what this node does not have, and it says so."""
    if response.status_code < 500:
        return
    may_lack = case.operation.label in WITHOUT_FEATURE
    assert may_lack, f"{case.operation.label} answered {response.status_code}"
    assert response.status_code == 503, f"a fault: {response.status_code}"
    assert json.loads(response.content)["code"] == "FEATURE_MISSING"


@schemathesis.check
def refuses_in_json(ctx, response, case):
    """Every refusal is JSON with a text for people and the request's id."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    assert response.headers["content-type"] == ["application/json"], response.headers
    body = json.loads(response.content.decode("utf-8"))
    assert isinstance(body, dict), body
    assert isinstance(body.get("error"), str), body
    assert body["error"], body
    assert body.get("request_id") == response.headers["x-request-id"][0], body
    fields = body.get("fields", [])
    assert isinstance(fields, list), body
    assert all(isinstance(name, str) for name in fields), body


@schemathesis.check
def every_reply_has_a_request_id(ctx, response, case):
    assert len(response.headers.get("x-request-id", [])) == 1, response.headers


@schemathesis.check
class RoutesMet:
    """Leaves behind which routes were asked, and which of them ever succeeded."""

    def __init__(self):
        self.asked: set[str] = set()
        self.succeeded: set[str] = set()

    def after_response(self, ctx, response, case):
        sent = f"{response.request.method} {case.operation.path}"
        self.asked.add(sent)
        if response.status_code < 300:
            self.succeeded.add(sent)

    def after_run(self, ctx):
        met = {"asked": sorted(self.asked), "succeeded": sorted(self.succeeded)}
        Path(os.environ[ROUTES_FILE]).write_text(json.dumps(met), encoding="utf-8")
