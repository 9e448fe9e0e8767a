"""Figures in documents: each one stands between markers and is written from the committed records.

``<!-- figure: ratio main/v2 main/v1 -->× 30.8<!-- end -->`` is rewritten by ``vcpu-ladder documents``; a
test fails when a document differs from the records. One registry of kinds of figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from vcpu_ladder import paths
from vcpu_ladder.audit.claims import load_claims
from vcpu_ladder.audit.judge import judge
from vcpu_ladder.audit.report import as_markdown, rules_table
from vcpu_ladder.commands.console import ends_well, out
from vcpu_ladder.commands.list import knobs_table
from vcpu_ladder.errors import UsageError
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import load_records, write_atomically
from vcpu_ladder.replicate.table import compare_all, markdown, sentence
from vcpu_ladder.summary.curve import curves
from vcpu_ladder.summary.formats.markdown import curve_table, escape, markdown_table
from vcpu_ladder.summary.formats.words import describe, digits, show_ratio, spread
from vcpu_ladder.summary.merge import Row, by_name, merge
from vcpu_ladder.summary.verdict import Ratio, ratio

documenting = typer.Typer()

_MARKER = re.compile(r"(<!-- figure: (?P<kind>\S+)(?P<arguments>[^>]*) -->)(.*?)(<!-- end -->)", re.DOTALL)


def rewrite(text: str, records: Sequence[RunRecord]) -> str:
    """The document with every figure taken from the records. Raises UsageError for one that they lack."""
    if _MARKER.search(text) is None:
        return text
    rows = by_name(merge(records))

    def figure(match: re.Match[str]) -> str:
        kind, arguments = match["kind"], match["arguments"].split()
        try:
            content = QUOTES[kind](_Book(rows), *arguments)
        except (KeyError, TypeError) as error:
            raise UsageError(f"figure {kind} {' '.join(arguments)}: not in the records: {error}") from None
        return match[1] + content + match[5]

    return _MARKER.sub(figure, text)


class _Book:
    """The newest rows by name."""

    def __init__(self, rows: Mapping[str, Row]) -> None:
        self.rows = rows

    def ratio(self, first: str, second: str) -> Ratio:
        found = ratio(self.rows[first].blocks, self.rows[second].blocks)
        if found is None or not self.rows[first].comparable_with(self.rows[second]):
            raise KeyError(f"{first} over {second}")
        return found


def _table(book: _Book, ladder: str) -> str:
    return "\n" + markdown_table([row for row in book.rows.values() if row.ladder == ladder])


def _curve(book: _Book, ladder: str, name: str) -> str:
    found = curves([row for row in book.rows.values() if row.ladder == ladder])
    for curve in found:
        if curve.name == name:
            return "\n" + curve_table(curve)
    raise KeyError(f"curve {name} of {ladder}")


def _limit(book: _Book, name: str) -> str:
    row = book.rows[name]
    ceiling = f"; ceiling {digits(row.ceiling_rps)} RPS" if row.ceiling_rps else ""
    return escape(f"{row.limit}: {row.limit_evidence}{ceiling}")


def _notes(book: _Book, name: str) -> str:
    return escape("; ".join(book.rows[name].notes) or "no notes")


def _ended(book: _Book, name: str) -> str:
    """Requests ended per second, served or not, and how the failed ones ended."""
    row = book.rows[name]
    kinds = ", ".join(f"{kind} {count}" for kind, count in row.failures.items())
    return f"{digits(row.all_responses_rps)} ({escape(kinds) or 'none failed'})"


def _key(book: _Book, *ladders: str) -> str:
    """The comparison key of the records shown for these ladders; a list if there are several."""
    keys = {row.ladder: row.key for row in book.rows.values()}
    if len(ladders) == 1:
        return escape(describe(keys[ladders[0]]))
    return "\n" + "".join(f"- {name}: {escape(describe(keys[name]))}\n" for name in ladders)


def _audit(_: _Book) -> str:
    studies = load_claims(paths.PUBLISHED)
    return "\n" + as_markdown(studies, judge(studies))


QUOTES: dict[str, Callable[..., str]] = {
    "table": _table,
    "rps": lambda book, name: spread(book.rows[name]),
    "ratio": lambda book, first, second: show_ratio(book.ratio(first, second)),
    "verdict": lambda book, first, second: book.ratio(first, second).verdict,
    "limit": _limit,
    "ended": _ended,
    "curve": _curve,
    "key": _key,
    "notes": _notes,
    "p50": lambda book, name: digits(book.rows[name].p50_ms),
    "p95": lambda book, name: digits(book.rows[name].p95_ms),
    "published": lambda book, name: sentence(compare_all(book.rows), name),
    "replication": lambda book: "\n" + markdown(compare_all(book.rows)),
    "audit": _audit,
    "audit-rules": lambda book: "\n" + rules_table(),
    "knobs": lambda book: "\n" + knobs_table(),
}


@documenting.command("documents")
@ends_well
def documents_command(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 2 if a figure is out of date.")
    ] = False,
) -> None:
    """Write the committed reference's figures into README.md and docs/, between their markers."""
    records, _ = load_records(paths.REFERENCE)
    for path in (paths.HOME / "README.md", *sorted((paths.HOME / "docs").glob("**/*.md"))):
        old = path.read_text(encoding="utf-8")
        new = rewrite(old, records)
        if new == old:
            continue
        if check:
            raise UsageError(
                f"{path}: its figures differ from the records", next_command="vcpu-ladder documents"
            )
        write_atomically(path, new)
        out.print(f"rewrote {path}", soft_wrap=True)
