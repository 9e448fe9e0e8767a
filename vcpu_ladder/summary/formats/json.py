"""JSON: rows and curves, for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vcpu_ladder.summary.curve import Curve, curves
from vcpu_ladder.summary.formats.flat import flat
from vcpu_ladder.summary.merge import Row


def as_json(rows: Sequence[Row]) -> str:
    content = {
        "schema": 1,
        "rows": [flat(row) | {"valid": row.valid} for row in rows],
        "curves": [_flat_curve(curve) for curve in curves(rows)],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _flat_curve(curve: Curve) -> dict[str, Any]:
    enough, bend = curve.smallest_enough, curve.bend
    return {
        "ladder": curve.key.ladder,
        "curve": curve.name,
        "knob": curve.knob,
        "points": [
            {
                "stage": point.row.stage,
                "value": point.value,
                "rps": point.rps,
                "ratio_to_best": point.to_best.value if point.to_best else 1.0,
                "ratio_low": point.to_best.low if point.to_best else None,
                "ratio_high": point.to_best.high if point.to_best else None,
                "within_noise": point.within_noise,
            }
            for point in curve.points
        ],
        "best": curve.best.value,
        "smallest_within_noise": enough.value if enough else None,
        "bend": bend.value if bend else None,
        "missing": list(curve.missing),
    }
