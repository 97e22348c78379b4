"""The base of all pydantic bodies."""

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A body as v0.7.0 reads it: types are strict, unknown keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
