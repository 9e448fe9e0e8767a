"""Rows as text: one registry of formats. Adding one is one entry."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.contract.knobs import KNOBS
from vcpu_ladder.records.record import write_atomically
from vcpu_ladder.summary.curve import Curve, curves
from vcpu_ladder.summary.merge import Row, Setting
from vcpu_ladder.summary.verdict import Ratio

CSV_COLUMNS = [
    "ladder",
    "stage",
    "parent",
    "change",
    "environment",
    "n",
    "pairs",
    "rps",
    "rps_low",
    "rps_high",
    "ended_rps",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "latency_samples",
    "error_ratio",
    "ratio_to_parent",
    "ratio_low",
    "ratio_high",
    "verdict",
    "ratio_to_root",
    "limit",
    "ceiling_rps",
    "cpu_ratio",
    "threads_alive",
    "threads_created",
    "published_rps",
    "published_p50_ms",
    "published_p95_ms",
    "published_failed_ratio",
    "published_requests",
    "published_threads",
    "published_source",
    "valid",
    "invalid_runs",
    "host",
    "platform",
    "load",
    "workload",
    "latest",
    "notes",
]


_PUBLISHED_OTHERS = [
    name
    for name in CSV_COLUMNS
    if name.startswith("published_") and name not in ("published_rps", "published_source")
]


def flat(row: Row) -> dict[str, Any]:
    """The row by CSV column; None where there is nothing to say."""
    ratio, to_root = row.ratio, row.ratio_to_root
    return {
        **{name: value for name, value in vars(row).items() if name in CSV_COLUMNS},
        **{name: value for name, value in asdict(row.setting).items() if name in CSV_COLUMNS},
        **{name: row.published_others.get(name.removeprefix("published_")) for name in _PUBLISHED_OTHERS},
        "ratio_to_parent": ratio.value if ratio else None,
        "ratio_low": ratio.low if ratio else None,
        "ratio_high": ratio.high if ratio else None,
        "ratio_to_root": to_root.value if to_root else None,
        "verdict": row.verdict,
        "valid": str(row.valid).lower(),
        "notes": "; ".join(row.notes),
    }


def as_csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = flat(row)
        writer.writerow({name: _number(cells[name]) for name in CSV_COLUMNS})
    return out.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    content = {
        "schema": 1,
        "rows": [flat(row) | {"valid": row.valid} for row in rows],
        "curves": [_flat_curve(curve) for curve in curves(rows)],
    }
    return json.dumps(content, indent=1) + "\n"


def _flat_curve(curve: Curve) -> dict[str, Any]:
    enough, bend = curve.smallest_enough, curve.bend
    return {
        "ladder": curve.setting.ladder,
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


def as_markdown(rows: Sequence[Row]) -> str:
    """One table a ladder and setting, with its notes below."""
    parts = ["# Summary\n"]
    for setting in dict.fromkeys(row.setting for row in rows):
        mine = [row for row in rows if row.setting == setting]
        parts.append(
            f"\n## {setting.ladder}\n\n{describe(setting)}. "
            "RPS: median over n fresh runs (lowest to highest). "
            "Ratio to the parent with its 95 % interval.\n\n"
        )
        parts.append(markdown_table(mine))
        notes = [f"- {row.stage}: {note}" for row in mine for note in row.notes]
        if notes:
            parts.append("\n" + "\n".join(notes) + "\n")
        parts += [f"\n{curve_line(curve)}\n" for curve in curves(mine)]
    return "".join(parts)


_MARKDOWN_HEAD = (
    "Stage | Change | n | RPS | P50 ms | P95 ms | P99 ms | Errors | Ratio to parent | Verdict | Limit"
    " | Published RPS"
)


def markdown_table(rows: Sequence[Row]) -> str:
    head = _MARKDOWN_HEAD.split(" | ")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def knobs_table() -> str:
    """Every knob of the registry, as Markdown."""
    lines = ["| Knob | Default | Allowed | Unit | What it does |", "|---|---|---|---|---|"]
    lines += [
        " ".join(
            ("|", knob.name, "|", str(knob.default), "|", knob.describe_allowed().replace(" | ", ", "), "|")
            + (knob.unit, "|", knob.help, "|")
        )
        for knob in KNOBS.values()
    ]
    return "\n".join(lines) + "\n"


def describe(setting: Setting) -> str:
    """One line that tells settings apart."""
    return (
        f"Environment {setting.environment}, host {setting.host}, platform {setting.platform}, "
        f"load {setting.load}, workload {setting.workload}"
    )


def cells(row: Row) -> list[str]:
    """The row as the tables for people show it."""
    return [
        row.stage,
        row.change or row.title,
        f"{row.n}" + (f" (+{row.invalid_runs} invalid)" if row.invalid_runs else ""),
        spread(row),
        digits(row.p50_ms),
        digits(row.p95_ms),
        digits(row.p99_ms),
        "–" if row.error_ratio is None else f"{row.error_ratio:.2%}",
        interval(row),
        row.verdict,
        row.limit or "–",
        published(row),
    ]


def published(row: Row) -> str:
    """The published rate, and the published share of failures where there is one."""
    failed = row.published_others.get("failed_ratio")
    return digits(row.published_rps) + (f" ({failed:.3g} failed)" if failed else "")


def spread(row: Row) -> str:
    if row.rps is None:
        return "–"
    if row.n < 2:
        return digits(row.rps)
    return f"{digits(row.rps)} ({digits(row.rps_low)}–{digits(row.rps_high)})"


def curve_line(curve: Curve) -> str:
    """``curve pool: pool_size 1, 2, 5: 21, 40, 41 RPS; ...``: what the curve says, in one line."""
    values = ", ".join(str(point.value) for point in curve.points)
    rates = ", ".join(digits(point.rps) for point in curve.points)
    best, enough, bend = curve.best, curve.smallest_enough, curve.bend
    text = f"curve {curve.name}: {curve.knob} {values}: {rates} RPS; best {best.value}"
    if enough is None:
        text += "; one run a point says nothing about noise"
    elif enough.to_best is None:
        text += ", and no smaller one is within noise of it"
    else:
        text += f"; smallest within noise of it {enough.value}, {show_ratio(enough.to_best)}"
    text += f"; bends at {bend.value}" if bend else ""
    return text + (f"; no valid run of {', '.join(curve.missing)}" if curve.missing else "")


def curve_table(curve: Curve) -> str:
    """The points as Markdown, and the line below."""
    head = [curve.knob, "n", "RPS", "Ratio to the best", "Limit"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for point in curve.points:
        shown = show_ratio(point.to_best) if point.to_best else "best"
        cells = [str(point.value), str(point.row.n), spread(point.row), shown, point.row.limit or "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{curve_line(curve)}\n"


def interval(row: Row) -> str:
    return "–" if row.ratio is None else show_ratio(row.ratio)


def show_ratio(ratio: Ratio) -> str:
    """``× 1.2 (1.1–1.3)``; without an interval where there is none."""
    text = f"× {ratio.value:.3g}"
    if ratio.low is not None and ratio.high is not None:
        text += f" ({ratio.low:.3g}–{ratio.high:.3g})"
    return text


def digits(value: float | None) -> str:
    """Three significant digits, without exponents; an en dash for nothing."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _number(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "json": as_json,
}


def write_all(rows: Sequence[Row], folder: Path) -> list[Path]:
    """``summary.<format>`` for every format. Raises EnvironmentNotReady if the folder cannot be written."""
    paths = []
    for name, export in FORMATS.items():
        path = folder / f"summary.{name}"
        write_atomically(path, export(rows))
        paths.append(path)
    return paths
