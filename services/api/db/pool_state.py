"""What a live pool reports about itself, whichever library it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolState:
    """``size`` and ``overflow`` are None if the pool's class has no such setting; ``checked_out`` counts
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
        """Connections that can be in use at once; 0 if there is no limit."""
        return (self.size or 0) + (self.overflow or 0)
