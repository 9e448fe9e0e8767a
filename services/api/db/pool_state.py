"""What a live pool says of itself, whichever library it is of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolState:
    """``size`` and ``overflow`` are None where the class has no such thing; ``checked_out`` counts
    connections in use. ``driver`` and ``database`` name what the pool really connects with and to.
    """

    pool: str
    size: int | None
    overflow: int | None
    checked_out: int
    driver: str
    database: str

    @property
    def capacity(self) -> int:
        """Connections that can be out at once; 0 where there is no limit."""
        return (self.size or 0) + (self.overflow or 0)
