"""`namespace`: the standard of a namespace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import Node, connect
from app.cli.output import emit, object_of
from app.cli.session import Session, note
from app.cli.verb import Family, verb
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from app.domain.memory import Json

_NOT_AN_OBJECT: Final = "--governance must be a valid JSON object"


@click.group("namespace", cls=Family)
def namespace() -> None:
    """Bind a namespace to the memory that is its standard."""


@verb("set-standard")
@click.option("--namespace", required=True)
@click.option("--id", required=True, help="The memory that is the standard.")
@click.option("--parent", help="The namespace whose standard applies above this one.")
@click.option("--governance", help="JSON object, merged into the policy of the standard.")
def set_standard(
    session: Session, namespace: str, id: str, parent: str | None, governance: str | None
) -> None:
    """Make a memory the standard of a namespace."""
    body: dict[str, Json] = {"namespace": namespace, "id": id}
    if parent is not None:
        body["parent"] = parent
    policy = None if governance is None else _policy(governance)
    with connect(session) as node:
        if policy is not None:
            body["governance"] = {"write": _current_write(node, namespace), **policy}
        reply = node.call("POST", "/namespaces", body=body).body
    above = f" parent='{reply['parent']}'" if reply.get("parent") else ""
    lines = [
        f"set standard: namespace='{namespace}' standard_id='{reply.get('standard_id')}'{above}"
    ]
    if "governance" in reply:
        lines.append(json.dumps(reply["governance"], indent=2, ensure_ascii=False))
    emit(session, reply, "\n".join(lines))


def _current_write(node: Node, namespace: str) -> Json:
    """What a policy that says nothing of writes leaves as it is; the route wants it said."""
    reply = node.call("GET", "/namespaces", query={"namespace": namespace}).body
    return object_of(reply.get("governance")).get("write", "any")


def _policy(text: str) -> dict[str, Json]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"{_NOT_AN_OBJECT}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidInputError(_NOT_AN_OBJECT)
    return value


@verb("get-standard")
@click.option("--namespace", required=True)
@click.option("--inherit", is_flag=True, help="The whole chain, the most general first.")
def get_standard(session: Session, namespace: str, inherit: bool) -> None:
    """Show the standard of a namespace and its policy."""
    query = {"namespace": namespace, "inherit": inherit or None}
    with connect(session) as node:
        reply = node.call("GET", "/namespaces", query=query).body
    if not inherit and reply.get("standard_id") is None:
        note(f"{namespace} has no standard")
    emit(session, reply, json.dumps(reply, indent=2, ensure_ascii=False))


@verb("clear-standard")
@click.option("--namespace", required=True)
def clear_standard(session: Session, namespace: str) -> None:
    """Unbind a namespace from its standard; the memory stays."""
    with connect(session) as node:
        reply = node.call("DELETE", "/namespaces", query={"namespace": namespace}).body
    text = f"cleared the standard of {namespace}"
    emit(session, reply, text if reply.get("cleared") else f"{namespace} has no standard")


for _command in (set_standard, get_standard, clear_standard):
    namespace.add_command(_command)
