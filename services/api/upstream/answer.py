"""What the upstream must answer, checked once for every client."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from services.api.errors import UpstreamFailedError


class Answer(BaseModel):
    """``delay_ms`` is the delay the upstream meant; ``factor`` multiplies a price."""

    delay_ms: Annotated[float, Field(ge=0)]
    factor: Annotated[float, Field(ge=0.5, le=2)]


def read_answer(status: int, body: bytes) -> Answer:
    """Raises UpstreamFailedError on any status but 200 and on a body that is not an Answer."""
    if status != 200:
        raise UpstreamFailedError(f"upstream answered status {status}")
    try:
        return Answer.model_validate_json(body)
    except ValidationError:
        raise UpstreamFailedError(f"upstream answered rubbish: {body[:60]!r}") from None
