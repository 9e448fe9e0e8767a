"""Markdown: one table per ladder and key."""

from __future__ import annotations

from collections.abc import Sequence

from vcpu_ladder.summary.curve import Curve, curves
from vcpu_ladder.summary.formats.words import (
    cells,
    curve_line,
    describe,
    family_line,
    plain,
    show_ratio,
    spread,
)
from vcpu_ladder.summary.merge import Row


def as_markdown(rows: Sequence[Row]) -> str:
    """One table per ladder and key, with its notes below."""
    parts = ["# Summary\n"]
    for key in dict.fromkeys(row.key for row in rows):
        mine = [row for row in rows if row.key == key]
        parts.append(
            f"\n## {escape(key.ladder)}\n\n{escape(describe(key))}. "
            "RPS: geometric mean over n fresh runs (lowest to highest). "
            "Ratio to the parent with its 95 % interval.\n\n"
        )
        parts.append(markdown_table(mine))
        if line := family_line(mine):
            parts.append(f"\n{line}.\n")
        notes = [f"- {escape(f'{row.label}: {note}')}" for row in mine for note in row.notes]
        if notes:
            parts.append("\n" + "\n".join(notes) + "\n")
        parts += [f"\n{escape(curve_line(curve))}\n" for curve in curves(mine)]
    return "".join(parts)


def escape(text: str) -> str:
    """The text on one line, without ending a cell or being read as HTML."""
    return plain(text).replace("|", "\\|").replace("<", "&lt;")


_MARKDOWN_HEAD = (
    "Stage | Change | n | RPS | P50 ms | P95 ms | P99 ms | Errors | Ratio to parent | Verdict | Limit"
    " | Published RPS"
)


def markdown_table(rows: Sequence[Row]) -> str:
    head = _MARKDOWN_HEAD.split(" | ")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(map(escape, cells(row))) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def curve_table(curve: Curve) -> str:
    """The points as a Markdown table, and the curve's line below it."""
    head = [escape(curve.knob), "n", "RPS", "Ratio to the best", "Limit"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for point in curve.points:
        shown = show_ratio(point.to_best) if point.to_best else "best"
        cells = [str(point.value), str(point.row.n), spread(point.row), shown, escape(point.row.limit or "–")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{escape(curve_line(curve))}\n"
