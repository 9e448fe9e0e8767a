"""What to seed: scale, seed and layout, and the row counts that follow from them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from vcpu_ladder import paths
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.scale import FULL_ROWS

SCHEMA = paths.HOME / "postgres" / "schema"
MAX_SCALE = 100.0
_ROWS_VERSION = 1
"""Raised whenever rows.py makes different rows from the same plan: old templates are then not reused."""


class Layout(StrEnum):
    """Which orders have items. ``SPREAD`` is ours; ``PUBLISHED`` keeps what the published SQL does."""

    SPREAD = "spread"
    """Any order: two items per order on average."""
    PUBLISHED = "published"
    """Only the first fifth of the orders, with ten items each on average; the other orders are empty."""


@dataclass(frozen=True)
class SeedPlan:
    """A data set. The same plan gives the same rows on any machine."""

    scale: float = 1.0
    seed: int = 1
    layout: Layout = Layout.SPREAD

    def __post_init__(self) -> None:
        if not 0 < self.scale <= MAX_SCALE:
            raise UsageError(
                f"scale {self.scale!r} is not above 0 and at most {MAX_SCALE:g}", next_command="--scale 1.0"
            )
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"seed {self.seed} is not between 0 and 2**63 - 1", next_command="--seed 1")

    @cached_property
    def rows(self) -> dict[str, int]:
        """Rows of each table; at least five, so that a fifth of the orders is at least one."""
        return {table: max(5, round(full * self.scale)) for table, full in FULL_ROWS.items()}

    @property
    def orders_with_items(self) -> int:
        """Items refer to orders 1 to this one."""
        orders = self.rows["orders"]
        return orders // 5 if self.layout is Layout.PUBLISHED else orders

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes the data or its structure: plan, row generator, schema files."""
        what = json.dumps([_ROWS_VERSION, repr(float(self.scale)), self.seed, self.layout])
        digest = hashlib.sha256(what.encode())
        for path in schema_files():
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def __str__(self) -> str:
        return f"scale {self.scale!r}, seed {self.seed}, {self.layout}"

    @property
    def arguments(self) -> str:
        """The plan on a command line."""
        return f"--scale {self.scale!r} --seed {self.seed} --layout {self.layout}"

    @property
    def template(self) -> str:
        """Name of the template database that holds this data set."""
        return f"vcpu_ladder_template_{self.fingerprint}"


def schema_files() -> list[Path]:
    """The files in ``postgres/schema`` in the order in which they are applied."""
    return [SCHEMA / f"{part}.sql" for part in ("tables", "indexes", "keys", "foreign_keys")]
