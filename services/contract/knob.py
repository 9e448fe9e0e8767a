"""What a knob is: its values, its proof, and what it affects. ``knobs`` is the registry of all knobs.

Standard library only: the service's image carries this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Value = str | int
Knobs = Mapping[str, Value]
Where = Literal["worker", "fleet", "upstream"]
# What a knob affects: any service, the shop (and the published endpoints that name it), or studies only.
Scope = Literal["service", "shop", "study"]


@dataclass(frozen=True)
class Proof:
    """What must be read from the live service for a knob to count as in force.

    ``where``: ``worker`` is a key of every worker's ``GET /effective``; ``fleet`` is what the runner
    sees of all workers together; ``upstream`` is a key of the mock's ``GET /stats``.
    ``expected`` maps the resolved knobs to the value that must be found there.
    """

    key: str
    expected: Callable[[Knobs], object]
    where: Where = "worker"


@dataclass(frozen=True)
class Knob:
    """One setting. ``allowed`` is a tuple of words, or an inclusive (low, high) range of integers.

    ``inapplicable_because`` says why changing this knob has no effect on a shop with these knobs, and
    ``conflict`` why no stage can have these knobs at all; both return None if there is no problem. Whether a
    knob affects a stage, studies included, is answered by ``knobs.inapplicable``.
    """

    name: str
    default: Value
    allowed: tuple[str, ...] | tuple[int, int]
    unit: str
    help: str
    proof: Proof
    inapplicable_because: Callable[[Knobs], str | None] = lambda knobs: None
    conflict: Callable[[Knobs], str | None] = lambda knobs: None
    scope: Scope = "shop"

    @property
    def variable(self) -> str:
        """The environment variable through which the service reads this knob."""
        return f"API_{self.name.upper()}"

    @property
    def numeric(self) -> bool:
        return isinstance(self.default, int)

    def describe_allowed(self) -> str:
        if self.numeric:
            return f"{self.allowed[0]} to {self.allowed[1]}"
        return " | ".join(str(word) for word in self.allowed)

    def parse(self, value: object, extra: tuple[str, ...] = ()) -> Value:
        """The value in its own type. ``extra`` are further allowed words (a ladder's own profiles).

        Raises ValueError with what is allowed.
        """
        if self.numeric:
            return self._parse_number(value)
        if isinstance(value, str) and value in (*self.allowed, *extra):
            return value
        words = " | ".join(str(word) for word in (*self.allowed, *extra))
        raise ValueError(f"{self.name} = {value!r} is not allowed: {words}")

    def _parse_number(self, value: object) -> int:
        low, high = (int(bound) for bound in self.allowed)
        try:
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise ValueError
            number = int(value)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{self.name} = {value!r} is not allowed: {self.describe_allowed()} {self.unit}".rstrip()
            )
        return number
