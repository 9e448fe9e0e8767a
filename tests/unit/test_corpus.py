"""Records of every age and kind: each good one is shown, each bad one costs one line, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.contract.knobs import KNOBS
from tests.factory import record
from vcpu_ladder import paths
from vcpu_ladder.commands import app as cli
from vcpu_ladder.records.limits import limit_of
from vcpu_ladder.records.load import ClosedRecorded, OpenRecorded
from vcpu_ladder.records.migrate import FIRST_KNOBS
from vcpu_ladder.records.record import SCHEMA, LimitResult, RunRecord
from vcpu_ladder.records.store import RecordStore, parse_record, save
from vcpu_ladder.summary.formats import FORMATS
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import Row, merge
from vcpu_ladder.summary.verdict import Served, ratio

CORPUS = Path(__file__).parents[1] / "corpus"
GOOD = sorted((CORPUS / "good").glob("*.json"))
# What the complaint about each bad file must say.
BAD = {
    "broken": "not JSON",
    "cpus-are-a-number": "other_cpus",
    "curve-of-a-word": "'handlers' is not a knob with a number",
    "delay-is-a-list": "intended_ms",
    "empty": "not JSON",
    "environment-is-a-number": "environment",
    "far-too-long": "larger than any number",
    "figure-is-a-word": "figures: rps",
    "figures-are-a-list": "figures",
    "half-a-character": "surrogates not allowed",
    "huge": "larger than any number",
    "images-are-words": "images",
    "infinity": "-Infinity is not a number",
    "knob-is-a-list": "workers",
    "knob-is-a-word": "cpus",
    "knob-is-huge": "workers",
    "knobs-are-null": "knobs",
    "latin-1": "utf-8",
    "load-is-a-word": "load",
    "measure-zero": "measure_s",
    "nan": "NaN is not a number",
    "negative-count": "completed",
    "nested": "nested too deeply",
    "nested-in-a-fact": "nested too deeply",
    "newer": "made by a newer vcpu-ladder (schema 99)",
    "no-handlers": "handlers is missing",
    "no-host": "host",
    "no-model": "model",
    "no-schema": "no schema_version",
    "no-users": "users",
    "not-an-object": "no JSON object",
    "overflow": "larger than any number",
    "truncated": "not JSON",
    "unknown-field": "colour",
}


def put(source: Path, results: Path) -> None:
    folder = results / "main" / "v1" / f"{source.parent.name}-{source.stem}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(source.read_bytes())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The whole corpus as a results folder, plus what a file system can do to a record."""
    for source in [*GOOD, *(CORPUS / "bad").glob("*.json")]:
        put(source, tmp_path)
    (tmp_path / "main" / "v2" / "a-folder" / "record.json").mkdir(parents=True)
    return tmp_path


def test_every_bad_file_of_the_corpus_is_expected() -> None:
    assert sorted(path.stem for path in (CORPUS / "bad").glob("*.json")) == sorted(BAD)


def test_summary_shows_every_good_record_and_a_line_for_each_bad_one(results: Path) -> None:
    shown = CliRunner().invoke(cli.app, ["summary", "--results", str(results), "--all"])
    assert shown.exit_code == 0, shown.output
    complaints = [line for line in shown.stderr.splitlines() if "record.json" in line]
    assert len(complaints) == len(BAD) + 1
    for name, reason in BAD.items():
        (line,) = [line for line in complaints if f"/bad-{name}/" in line]
        assert reason in line
    assert sum("/a-folder/" in line for line in complaints) == 1
    rows = json.loads((results / "summary.json").read_text(encoding="utf-8"))["rows"]
    assert sum(row["n"] + row["invalid_runs"] for row in rows) == len(GOOD)


def test_a_record_that_cannot_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(GOOD[0], tmp_path)

    def read_text(path: Path, encoding: str) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", read_text)
    store = RecordStore(tmp_path)
    assert (store.records, len(store.complaints)) == ([], 1)


def test_a_complaint_is_one_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "main" / "two\nlines\x1b[2J" / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text("")
    (complaint,) = RecordStore(tmp_path).complaints
    assert complaint.isprintable()


# -- hostile but well formed ----------------------------------------------------------------------


def good(name: str) -> RunRecord:
    return parse_record((CORPUS / "good" / f"{name}.json").read_text(encoding="utf-8"))


def rows(*names: str) -> list[Row]:
    return merge([good(name) for name in names])


@pytest.mark.parametrize("width", [60, 200])
def test_markup_and_commands_of_a_record_reach_the_terminal_as_text(width: int) -> None:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    print_rows(rows("markup", "terminal", "schema-1"), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[/x] [red]worse[/red]" in text
    assert ":skull:" in text or width < 150
    assert "\x07" not in text
    assert "\u202e" not in text
    assert re.findall(r"\x1b[^m]*[^m0-9;\[]", text) == []  # nothing but the table's own styles


def test_a_title_cannot_end_a_cell_or_begin_html() -> None:
    text = FORMATS["md"](rows("markdown"))
    head, line = next(
        (head, line)
        for head, line in zip(text.splitlines(), text.splitlines()[2:], strict=False)
        if line.startswith("| markdown ")
    )
    assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", head))
    assert "<" not in text
    assert "a \\| b c &lt;script>" in line


def test_no_cell_of_the_csv_is_a_formula() -> None:
    (cells,) = csv.DictReader(io.StringIO(FORMATS["csv"](rows("formula"))))
    assert cells["stage"].startswith("'=HYPERLINK(")
    assert cells["change"] == "'@x = 1"
    assert not [name for name, cell in cells.items() if cell.startswith(("=", "+", "-", "@"))]


def test_json_has_no_number_that_json_does_not_have(results: Path) -> None:
    def refuse(word: str) -> Any:
        raise AssertionError(word)

    json.loads(FORMATS["json"](merge(RecordStore(results).records)), parse_constant=refuse)


def test_two_wild_runs_make_a_wide_interval_and_no_error() -> None:
    wild = good("wild-rates")
    assert [row.rps for row in merge([wild])] == [1e-300]
    found = ratio({1: Served(1e-300), 2: Served(1e15)}, {1: Served(1e15), 2: Served(1e-300)})
    assert found is not None
    assert (found.low, found.high) == (math.exp(-700), math.exp(700))


# -- older records --------------------------------------------------------------------------------------


def test_an_old_record_is_brought_to_todays_schema() -> None:
    old = good("schema-1")
    assert old.schema_version == SCHEMA
    assert set(old.knobs) == set(KNOBS)
    assert old.knobs["endpoint"] == "shop"
    assert isinstance(old.load, ClosedRecorded)
    assert old.source["workload"] == "ef1c972208be"
    opened = good("schema-1-open")
    assert isinstance(opened.load, OpenRecorded)
    assert opened.rate_rps == 50.0
    assert parse_record(old.model_dump_json()) == old


def test_a_knob_that_came_later_has_its_default_and_an_unknown_one_stays() -> None:
    assert good("knob-added-later").knobs["pinning"] == KNOBS["pinning"].default
    assert good("unknown-knob").knobs["garbage_collector"] == "off"
    assert set(FIRST_KNOBS) < set(KNOBS)


def test_every_record_of_the_reference_is_readable() -> None:
    store = RecordStore(paths.REFERENCE)
    assert store.complaints == []
    assert len(store.records) == len(list(paths.REFERENCE.glob("**/record.json")))


# -- one place for each thing ---------------------------------------------------------------------------


def test_reading_finds_the_limit_anew_and_the_row_has_no_other(tmp_path: Path) -> None:
    stale = LimitResult(name="the moon", saturation_ratio=1.0, evidence="full", ceiling_rps=1.0)
    one = record("v2", limit=stale)
    assert [row.limit for row in merge([one])] == ["the moon"]
    save(one, tmp_path / "main" / "v2" / one.run_id)
    (read,) = RecordStore(tmp_path).records
    assert read.limit == limit_of(one)
    assert read.limit is not None
    assert [row.limit for row in merge([read])] == [read.limit.name]


def test_a_store_reads_once_and_takes_what_is_written_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = record("v2"), record("v1", repeat=1)
    for one in (first, second):
        save(one, tmp_path / "main" / one.stage / one.run_id)
    store = RecordStore(tmp_path)
    earliest = record("v3", started_at="2025-01-01T00:00:00.000+00:00")
    monkeypatch.setattr(Path, "read_text", None)
    store.add(earliest)
    assert store.records == [earliest, first, second]


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_records_and_summaries_are_read_without_what_only_unix_has(system: str) -> None:
    rooms = [paths.HOME / "vcpu_ladder" / room for room in ("records", "summary")]
    files = [path for room in rooms for path in room.rglob("*.py")]
    names = [".".join(path.relative_to(paths.HOME).with_suffix("").parts) for path in files]
    code = (
        "import sys\n"
        "for name in ('fcntl', 'termios', 'pwd', 'grp', 'resource', 'psutil'): sys.modules[name] = None\n"
        "import os, pydantic, scipy.special, rich.table, rich.console\n"
        f"sys.platform = {system!r}\n"
        "for name in ('geteuid', 'getuid', 'fork', 'sched_getaffinity', 'sched_setaffinity'):\n"
        "    os.__dict__.pop(name, None)\n"
        f"for name in {names!r}: __import__(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=paths.HOME, check=True, timeout=60)
