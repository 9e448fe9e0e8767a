"""What the upstream must answer, checked once for every client."""

from __future__ import annotations

import time
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from services.api.errors import UpstreamFailedError, UpstreamTimeoutError


class Answer(BaseModel):
    """``delay_ms`` is the delay that the upstream intended; ``factor`` multiplies a price."""

    delay_ms: Annotated[float, Field(ge=0)]
    factor: Annotated[float, Field(ge=0.5, le=2)]


# The real answer has about 70 bytes.
_MAX_BODY_BYTES = 64 * 1024


class Body:
    """Collects a body in chunks, within a deadline and a maximum size.

    httpx's timeout applies to each chunk: an upstream that sends a byte per minute would never time out.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends = time.monotonic() + timeout_s
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> None:
        """Raises UpstreamTimeoutError past the deadline, UpstreamFailedError past the size."""
        self._size += len(piece)
        if self._size > _MAX_BODY_BYTES:
            raise UpstreamFailedError(f"upstream answered rubbish: more than {_MAX_BODY_BYTES} bytes")
        if time.monotonic() > self._ends:
            raise UpstreamTimeoutError(f"upstream did not answer within {self._timeout_s:g} s")
        self._pieces.append(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


def read_answer(status: int, body: bytes) -> Answer:
    """Raises UpstreamFailedError on any status but 200 and on a body that is not an Answer."""
    if status != 200:
        raise UpstreamFailedError(f"upstream answered status {status}")
    try:
        return Answer.model_validate_json(body)
    except ValidationError:
        raise UpstreamFailedError(f"upstream answered rubbish: {body[:60]!r}") from None
