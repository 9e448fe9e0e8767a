"""The file of figures to audit: studies made of rows, each a line of somebody's benchmark table.

Everything but a row's name is optional; a rule that lacks a figure yields no finding.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vcpu_ladder.errors import UsageError

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]
_Users = Annotated[int, Field(ge=1, le=10_000_000)]
# A row is known as study/row, in tables too.
_Name = Annotated[str, Field(pattern=r"^[^/|\n]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Timeout(_Strict):
    """A timeout somewhere on the request's path, and what the failures look like if requests run into it."""

    name: str
    s: _Positive
    seen: str


class Claim(_Strict):
    """One line of a table. Rates are per second; ``_ms`` are milliseconds, ``_s`` seconds.

    Load: ``users`` of a closed loop, started over ``ramp_s``; ``load_s`` is the whole load, ramp included;
    ``drain_s`` is how long the tool waits at the end for requests in flight (k6: 30 s; Locust: 0).
    Result: ``rps`` and ``requests`` count all requests, failed ones too; latencies are of all requests.
    Service: ``threads`` and ``pool`` are per worker; a request takes at least ``delay_ms``, blocks the event
    loop for ``blocks_ms``, holds a connection for ``hold_ms`` and costs ``cpu_ms`` of CPU.
    """

    users: _Users | None = None
    ramp_s: _NotNegative = 0.0
    load_s: _Positive | None = None
    drain_s: _NotNegative = 0.0
    think_ms: _NotNegative = 0.0
    rps: _Positive | None = None
    requests: _Count | None = None
    failed_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    mean_ms: _Positive | None = None
    min_ms: _NotNegative | None = None
    p50_ms: _Positive | None = None
    p95_ms: _Positive | None = None
    max_ms: _Positive | None = None
    workers: _Count | None = None
    threads: _Count | None = None
    delay_ms: _Positive | None = None
    blocks_ms: _Positive | None = None
    pool: _Count | None = None
    hold_ms: _Positive | None = None
    cpus: _Positive | None = None
    cpu_ms: _Positive | None = None
    timeouts: tuple[Timeout, ...] = ()
    note: str = ""

    @property
    def served_rps(self) -> float | None:
        """Requests per second that did not fail."""
        return None if self.rps is None else self.rps * (1 - self.failed_ratio)

    @property
    def counted_s(self) -> float | None:
        """The seconds over which the requests were counted."""
        if self.requests is not None and self.rps is not None:
            return self.requests / self.rps
        return self.load_s


class Study(_Strict):
    title: str
    rows: dict[str, Claim]


class _StudyIn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    title: str = ""
    shared: dict[str, Any] = {}
    rows: Annotated[dict[_Name, dict[str, Any]], Field(min_length=1)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    studies: Annotated[dict[_Name, _StudyIn], Field(min_length=1)]


def load_claims(path: Path) -> dict[str, Study]:
    """Read a file of figures. Raises UsageError: file, study, row, key, and what is allowed."""
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", next_command="vcpu-ladder audit audit/published.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise _refusal(path, "", error) from None
    return {name: _study(path, name, raw) for name, raw in file.studies.items()}


def _study(path: Path, name: str, raw: _StudyIn) -> Study:
    rows = {}
    for claim_name, own in raw.rows.items():
        try:
            # TOML has arrays; a claim keeps tuples.
            content = {**raw.shared, **own}
            rows[claim_name] = Claim.model_validate(
                {**content, "timeouts": tuple(content.get("timeouts", ()))}
            )
        except (ValidationError, TypeError) as error:
            raise _refusal(path, f"studies.{name}.rows.{claim_name}", error) from None
    return Study(title=raw.title or name, rows=rows)


def _refusal(path: Path, where: str, error: ValidationError | TypeError) -> UsageError:
    if isinstance(error, TypeError):
        return UsageError(f"{path}: {where}.timeouts: an array of tables is expected")
    first = error.errors()[0]
    key = ".".join(filter(None, (where, *map(str, first["loc"]))))
    if first["type"] == "extra_forbidden":
        allowed = f"; a row may have {', '.join(Claim.model_fields)}" if where else ""
        return UsageError(f"{path}: {key}: unknown key{allowed}")
    return UsageError(f"{path}: {key}: {first['msg']}, not {first['input']!r}")
