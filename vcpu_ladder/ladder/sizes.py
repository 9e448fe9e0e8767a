"""Other sizes of a ladder's load: ``quick`` for a replication of everything, ``full`` as published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from services.contract.knob import Value

if TYPE_CHECKING:
    from vcpu_ladder.ladder.reader import Ladder

SizeName = Literal["quick", "full"]


@dataclass(frozen=True)
class Size:
    """What differs from the ladder's own load (``LoadProfile`` fields) and from its root's knobs."""

    load: Mapping[str, Any] = field(default_factory=dict)
    knobs: Mapping[str, Value] = field(default_factory=dict)


def sized(ladder: Ladder, name: SizeName) -> Ladder:
    """The ladder in another size; unchanged where it has none of that name.

    Raises ValueError for a load that cannot be meant.
    """
    size = ladder.sizes.get(name, Size())
    stages = {
        stage.id: replace(stage, knobs={**stage.knobs, **size.knobs}) if stage.parent is None else stage
        for stage in ladder.stages.values()
    }
    return replace(ladder, load=replace(ladder.load, **size.load), stages=stages)
