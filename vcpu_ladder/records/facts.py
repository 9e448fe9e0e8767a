"""The shape of a record's free-form parts, as far as their facts are read again later.

An environment may record more facts than these; those with these names must have this shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

Facts = dict[str, Any]


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Image(_Told):
    name: str | None = None
    id: str | None = None
    digest: str | None = None


class _Environment(_Told):
    kind: str
    pinned: bool | None = None
    live_view: bool = False
    other_cpus: list[int] = []
    images: dict[str, _Image] = {}
    versions: dict[str, str | None] = {}
    database_server: str | None = None


class _Machine(_Told):
    host: str
    python: str | None = None
    k6: str | None = None
    kernel: str | None = None


class _Source(_Told):
    workload: str | None = None
    parts: dict[str, str] = {}
    packages: dict[str, str | None] = {}


class _Delay(_Told):
    mean: float | None = None


class _Upstream(_Told):
    intended_ms: _Delay | None = None


def _like(shape: type[BaseModel]) -> Callable[[Facts], Facts]:
    def check(facts: Facts) -> Facts:
        shape.model_validate(facts)
        return facts

    return check


EnvironmentFacts = Annotated[Facts, AfterValidator(_like(_Environment))]
MachineFacts = Annotated[Facts, AfterValidator(_like(_Machine))]
SourceFacts = Annotated[Facts, AfterValidator(_like(_Source))]
UpstreamFacts = Annotated[Facts, AfterValidator(_like(_Upstream))]
