"""Other sizes of a ladder's load: ``quick`` for a replication of everything, ``full`` as published."""

from __future__ import annotations

from dataclasses import replace

from vcpu_ladder.ladder.ladder import Ladder, Size, SizeName


def sized(ladder: Ladder, name: SizeName) -> Ladder:
    """The ladder in another size; unchanged if it has no size of that name.

    Raises ValueError for a load with values that are not allowed.
    """
    size = ladder.sizes.get(name, Size())
    stages = {
        stage.id: replace(stage, knobs={**stage.knobs, **size.knobs}) if stage.parent is None else stage
        for stage in ladder.stages.values()
    }
    return replace(ladder, load=replace(ladder.load, **size.load), stages=stages)
