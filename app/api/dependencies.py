"""What handlers may ask for by name.

`caller: Provided[Caller]` and `services: Provided[Services]`. Parameters are marked,
too: `JSONBody[...]`, `FromPath[...]`, `FromQuery[...]` or `Annotated[..., QueryParameter(...)]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar, cast

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from app.api.identity import Claim, Identities
from app.api.options import ApiOptions
from app.api.request import ApiRequest
from app.services.bundle import Services
from app.services.caller import Caller

T = TypeVar("T")

Provided: TypeAlias = NamedDependency[SkipValidation[T]]
"""What a handler asks for by name. Made by us, so nothing of it is checked at a request."""

_IDENTITIES: Final = "identities"
_OPTIONS: Final = "options"


def make_state(identities: Identities) -> State:
    """What `resolve_caller` and `api_options` find again at a request."""
    return State({_IDENTITIES: identities, _OPTIONS: identities.options})


def resolve_caller(
    request: ApiRequest, claimed: str | None = None, where: Claim = Claim.BODY
) -> Caller:
    """The caller of a request whose body or query claims an agent id.

    Raises:
        InvalidInputError: a malformed or reserved id.
        IdentityMismatchError: the claim is not the authenticated id.
    """
    identities = cast("Identities", request.app.state[_IDENTITIES])
    return identities.resolve(request.scope, claimed, where)


def api_options(request: ApiRequest) -> ApiOptions:
    """The options of the surface that serves this request."""
    return cast("ApiOptions", request.app.state[_OPTIONS])


def provide_caller(request: ApiRequest) -> Caller:
    """The caller, when nothing is claimed."""
    return resolve_caller(request)


def dependencies(provide_services: Callable[[], Services]) -> dict[str, Provide]:
    """By the names under which handlers ask for them."""
    return {
        "caller": Provide(provide_caller, sync_to_thread=False),
        "services": Provide(provide_services, sync_to_thread=False),
    }
