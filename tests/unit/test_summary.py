"""From records to rows to tables: pooling, comparability, and output."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.factory import figures, golden, record
from vcpu_ladder.records.record import CheckResult
from vcpu_ladder.records.store import load_records, save
from vcpu_ladder.summary.formats import FORMATS, write_all
from vcpu_ladder.summary.formats.csv import as_csv
from vcpu_ladder.summary.formats.terminal import print_rows
from vcpu_ladder.summary.merge import merge, newest

GOLDEN = Path(__file__).parents[1] / "golden"

WARNING = CheckResult(
    name="steady", severity="warning", ok=False, text="halves differ by 40%", remedy="WARMUP=30s"
)
CLIMB = [
    *(record("v1", rps, repeat) for repeat, rps in enumerate((10.7, 10.8, 10.9))),
    *(record("v2", rps, repeat) for repeat, rps in enumerate((330.0, 335.0, 331.0))),
    record("v3", 380.0, 0, checks=[WARNING]),
    record("v3", 381.0, 1, status="invalid", reason="27 of 2006 requests failed (503 27)"),
]


@settings(max_examples=25)
@given(st.permutations(CLIMB))
def test_the_order_of_records_does_not_matter(shuffled: list) -> None:  # type: ignore[type-arg]
    assert merge(shuffled) == merge(CLIMB)


@pytest.mark.parametrize("name", FORMATS)
def test_summary_format_is_the_golden_one(name: str, request: pytest.FixtureRequest) -> None:
    golden(
        GOLDEN / f"summary.{name}", FORMATS[name](merge(CLIMB)), request.config.getoption("--update-golden")
    )


@pytest.mark.parametrize("width", [80, 200])
def test_terminal_table_is_the_golden_one(width: int, request: pytest.FixtureRequest) -> None:
    console = Console(file=io.StringIO(), width=width, no_color=True)
    print_rows(merge(CLIMB), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    golden(GOLDEN / f"terminal-{width}.txt", text, request.config.getoption("--update-golden"))


def test_the_promised_columns_are_there() -> None:
    promised = "ladder,stage,parent,change,environment,n,rps,p50_ms,p95_ms,p99_ms,error_ratio"
    promised += ",ratio_to_parent,published_rps,valid"
    reader = csv.DictReader(io.StringIO(as_csv(merge(CLIMB))))
    assert set(promised.split(",")) <= set(reader.fieldnames or ())


def test_a_percentile_of_too_few_samples_is_left_out() -> None:
    row = merge([record("v1", 10.0)])[0]
    assert row.p95_ms is not None
    assert row.p99_ms is None


@pytest.mark.parametrize(
    "other",
    [
        {"machine": {"host": "another host"}},
        {"source": {"workload": "another service"}},
        {"environment": {"kind": "compose"}},
        {"load_fingerprint": "another load"},
    ],
)
def test_records_of_different_settings_are_never_pooled_or_compared(other: dict) -> None:  # type: ignore[type-arg]
    rows = merge([record("v1", 10.0), record("v2", 300.0, **other)])
    assert len(rows) == 2
    assert all(row.ratio is None for row in rows)
    assert {row.verdict for row in rows} == {"baseline", "no parent measured"}


def test_a_parent_that_was_edited_since_is_not_a_parent() -> None:
    edited = dict(record("v1").knobs) | {"pool": "null"}
    rows = merge([record("v1", 10.0, knobs=edited, fingerprint="edited"), record("v2", 300.0, 1)])
    assert {row.stage: row.verdict for row in rows} == {"v1": "baseline", "v2": "no parent measured"}


def test_the_parent_as_it_was_serves_when_both_are_there() -> None:
    edited = dict(record("v1").knobs) | {"pool": "null"}
    rows = merge(
        [
            record("v1", 10.0),
            record("v1", 99.0, 1, knobs=edited, fingerprint="edited"),
            record("v2", 300.0, 2),
        ]
    )
    ratios = {row.stage: row.ratio and round(row.ratio.value) for row in rows}
    assert ratios == {"v1": None, "v2": 30}


@pytest.mark.parametrize(
    "platform",
    [
        {"machine": {"host": "aaaaaaaaaaaa", "python": "3.13.0"}},
        {"source": {"workload": "bbbbbbbbbbbb", "packages": {"uvicorn": "9"}}},
    ],
)
def test_another_platform_is_another_setting(platform: dict) -> None:  # type: ignore[type-arg]
    assert len({row.key for row in merge([record("v1", 10.0), record("v2", 300.0, **platform)])}) == 2


def test_an_invalid_run_is_shown_and_never_ranked() -> None:
    row = merge([record("v2", 900.0, status="unproven", reason="unproven: workers", figures=None)])[0]
    assert (row.n, row.invalid_runs, row.rps, row.valid, row.verdict) == (0, 1, None, False, "invalid")
    assert "unproven: workers" in row.notes[0]


def test_only_the_newest_setting_of_a_ladder_is_shown() -> None:
    old = record("v1", 10.0)
    new = record("v1", 11.0, 5, source={"workload": "edited"})
    assert [row.rps for row in newest(merge([old, new]))] == [11.0]


def test_records_survive_the_disk_and_are_never_replaced(tmp_path: Path) -> None:
    one = record("v2", 300.0)
    save(one, tmp_path / "main" / "v2" / one.run_id)
    with pytest.raises(FileExistsError):
        save(record("v2", 1.0), tmp_path / "main" / "v2" / one.run_id)
    broken = tmp_path / "main" / "v2" / "broken"
    broken.mkdir()
    (broken / "record.json").write_text('{"schema_version": 1}')
    records, complaints = load_records(tmp_path)
    assert records == [one]
    assert len(complaints) == 1
    assert str(broken) in complaints[0]


def test_the_committed_reference_is_not_this_machines(tmp_path: Path) -> None:
    one = record("v2", 300.0)
    save(one, tmp_path / "reference" / "main" / "v2" / one.run_id)
    assert load_records(tmp_path) == ([], [])
    assert load_records(tmp_path / "reference")[0] == [one]


def test_summary_files_are_written_for_every_format(tmp_path: Path) -> None:
    assert [path.name for path in write_all(merge(CLIMB), tmp_path)] == [
        f"summary.{name}" for name in FORMATS
    ]
    assert len(json.loads((tmp_path / "summary.json").read_text())["rows"]) == 3


def test_errors_are_the_median_of_runs_and_rates_their_geometric_mean() -> None:
    runs = [
        record("v2", 300.0, repeat, figures=figures(300.0, failed))
        for repeat, failed in enumerate((0, 9, 90))
    ]
    row = merge(runs)[0]
    assert row.error_ratio == pytest.approx(9 / 9009)
    assert row.rps == 300.0
    assert row.all_responses_rps == pytest.approx((300 * 300.3 * 303) ** (1 / 3))
    assert row.failures == {"503": 99}


def test_what_a_run_does_not_count_for_is_told_before_its_warnings() -> None:
    warning = WARNING.model_copy(update={"name": "completed"})  # sorts before "invalid"
    row = merge([record("v2", status="invalid", reason="workers: [1] before, [] after", checks=[warning])])[0]
    assert row.notes == (
        "invalid: workers: [1] before, [] after",
        "completed: halves differ by 40% (WARMUP=30s)",
    )
