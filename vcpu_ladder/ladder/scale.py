"""How many rows each table has: the published 1M / 100k / 5M / 10M, times a scale."""

from __future__ import annotations

from dataclasses import dataclass

FULL_ROWS = {"users": 1_000_000, "products": 100_000, "orders": 5_000_000, "order_items": 10_000_000}
STATUSES = ("pending", "paid", "cancelled", "refunded")


@dataclass(frozen=True)
class Scale:
    """A share of the published size: 1.0 is 1M users, 0.01 is 10,000. Raises ValueError outside (0, 1]."""

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1:
            raise ValueError(f"scale = {self.factor!r} is not allowed: above 0, at most 1")

    @property
    def rows(self) -> dict[str, int]:
        """{table: rows}, at least one each."""
        return {table: max(1, round(full * self.factor)) for table, full in FULL_ROWS.items()}
