"""What handlers may ask for by name.

`caller: Provided[Caller]` and `services: Provided[Services]`. Parameters are marked,
too: `JSONBody[...]`, `FromPath[...]`, `FromQuery[...]` or `Annotated[..., QueryParameter(...)]`.
"""

from __future__ import annotations

from typing import Final, TypeAlias, TypeVar, cast

from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation
from litestar.types import Scope

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
_SERVICES: Final = "services"


def make_state(identities: Identities, services: Services) -> State:
    """What the functions below find again at a request."""
    return State({_IDENTITIES: identities, _OPTIONS: identities.options, _SERVICES: services})


def state_of(state: State) -> Services:
    """The services, for what does not pass the framework's routing."""
    return cast("Services", state[_SERVICES])


def resolve_in(
    state: State, scope: Scope, claimed: str | None = None, where: Claim = Claim.BODY
) -> Caller:
    """As `resolve_caller`, for what does not pass the framework's routing."""
    return cast("Identities", state[_IDENTITIES]).resolve(scope, claimed, where)


def resolve_caller(
    request: ApiRequest, claimed: str | None = None, where: Claim = Claim.BODY
) -> Caller:
    """The caller of a request whose body or query claims an agent id.

    Raises:
        InvalidInputError: a malformed or reserved id.
        IdentityMismatchError: the claim is not the authenticated id.
    """
    return resolve_in(request.app.state, request.scope, claimed, where)


def api_options(request: ApiRequest) -> ApiOptions:
    """The options of the surface that serves this request."""
    return cast("ApiOptions", request.app.state[_OPTIONS])


def services_of(request: ApiRequest) -> Services:
    """The services, without the framework's injection: for routes where microseconds count.

    Injecting `caller` and `services` costs about as much as the rest of a request's routing.
    """
    return state_of(request.app.state)


def provide_caller(request: ApiRequest) -> Caller:
    """The caller, when nothing is claimed."""
    return resolve_caller(request)


def dependencies() -> dict[str, Provide]:
    """By the names under which handlers ask for them."""
    return {
        "caller": Provide(provide_caller, sync_to_thread=False),
        "services": Provide(services_of, sync_to_thread=False),
    }
