"""The audit: each rule's arithmetic, the file's errors, and what it says of the published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vcpu_ladder import paths
from vcpu_ladder.audit.claims import Claim, load_claims
from vcpu_ladder.audit.judge import Judged, judge, judge_claim
from vcpu_ladder.audit.report import FORMATS
from vcpu_ladder.commands.app import app
from vcpu_ladder.errors import UsageError

PUBLISHED = {judged.name: judged for judged in judge(load_claims(paths.PUBLISHED))}


def audited(**figures: object) -> Judged:
    return judge_claim("mine/row", Claim.model_validate(figures))


def verdicts(judged: Judged) -> dict[str, str]:
    return {finding.rule: finding.kind for finding in judged.findings}


@pytest.mark.parametrize(
    ("figures", "rule", "verdict"),
    [
        ({"users": 100, "rps": 100, "mean_ms": 1000}, "Little's law", "agrees"),
        ({"users": 100, "rps": 100, "mean_ms": 1100}, "Little's law", "cannot be"),
        ({"users": 100, "rps": 90, "mean_ms": 1000, "think_ms": 200}, "Little's law", "cannot be"),
        ({"users": 100, "rps": 50, "mean_ms": 1000, "load_s": 60}, "Little's law", "doubtful"),
        ({"users": 100, "rps": 97, "mean_ms": 1000, "load_s": 60}, "Little's law", "agrees"),
        ({"users": 100, "rps": 10, "p50_ms": 9000}, "median", "agrees"),
        ({"users": 100, "rps": 10, "p50_ms": 1000}, "median", "doubtful"),
        ({"users": 100, "rps": 10, "p50_ms": 1000, "max_ms": 12000}, "median", "cannot be"),
        ({"users": 100, "rps": 10, "p50_ms": 21000}, "median", "cannot be"),
        ({"min_ms": 10, "p50_ms": 5}, "order", "cannot be"),
        ({"p50_ms": 100, "p95_ms": 50}, "order", "cannot be"),
        ({"mean_ms": 40, "p50_ms": 100}, "mean", "cannot be"),
        ({"mean_ms": 500, "p50_ms": 100, "p95_ms": 200, "max_ms": 300}, "mean", "cannot be"),
        ({"requests": 6000, "rps": 100, "load_s": 60}, "window", "agrees"),
        ({"requests": 6000, "rps": 100, "load_s": 40, "drain_s": 30}, "window", "agrees"),
        ({"requests": 6000, "rps": 100, "load_s": 40}, "window", "cannot be"),
        ({"requests": 6000, "rps": 100, "load_s": 90}, "window", "doubtful"),
        ({"delay_ms": 1000, "min_ms": 900}, "delay", "cannot be"),
        ({"users": 10, "delay_ms": 1000, "rps": 9}, "users", "explains"),
        ({"users": 10, "delay_ms": 1000, "think_ms": 1000, "rps": 9}, "users", "cannot be"),
        ({"workers": 2, "threads": 40, "delay_ms": 1000, "rps": 75}, "threads", "explains"),
        ({"workers": 2, "threads": 40, "delay_ms": 1000, "rps": 60}, "threads", "room"),
        ({"workers": 2, "threads": 40, "delay_ms": 1000, "rps": 90}, "threads", "cannot be"),
        ({"workers": 2, "blocks_ms": 500, "rps": 8, "failed_ratio": 0.5}, "event loop", "explains"),
        ({"workers": 1, "pool": 15, "hold_ms": 100, "rps": 150}, "pool", "explains"),
        ({"cpus": 1, "cpu_ms": 2, "rps": 600}, "cpu", "cannot be"),
        ({"users": 3, "delay_ms": 4000, "load_s": 10, "rps": 1, "requests": 6}, "whole requests", "explains"),
        (
            {"users": 3, "delay_ms": 4000, "load_s": 10, "rps": 1, "requests": 7},
            "whole requests",
            "cannot be",
        ),
        ({"blocks_ms": 500, "rps": 10}, "workers needed", "reading"),
        ({"workers": 1, "threads": 40, "rps": 2}, "threads held", "reading"),
        ({"users": 5, "workers": 1, "rps": 100}, "time a worker", "reading"),
    ],
)
def test_a_rule_says(figures: dict[str, object], rule: str, verdict: str) -> None:
    assert verdicts(audited(**figures)).get(rule) == verdict


def test_a_row_is_as_bad_as_its_worst_finding() -> None:
    figures = {"users": 100, "rps": 95, "delay_ms": 1000, "mean_ms": 1010}
    assert audited(**figures).judgement == "explained"
    assert audited(**figures, load_s=600, requests=20_000).judgement == "doubtful"
    assert audited(**figures | {"mean_ms": 2000}).judgement == "cannot be"
    assert audited(rps=5).judgement == "too few figures"


def test_a_slow_ramp_costs_whole_requests() -> None:
    # The second of two users starts after 5 s: 2 + 1 requests of 4 s end within 10 s.
    at_once = audited(users=2, delay_ms=4000, load_s=10, rps=0.4, requests=4)
    ramped = audited(users=2, delay_ms=4000, load_s=10, rps=0.4, requests=4, ramp_s=10)
    assert (verdicts(at_once)["whole requests"], verdicts(ramped)["whole requests"]) == (
        "explains",
        "cannot be",
    )


def test_both_timeout_readings_of_the_published_baseline_fit_and_say_what_must_be_seen() -> None:
    readings = [f for f in PUBLISHED["main/v1"].findings if f.rule == "timeout"]
    assert [f.arithmetic for f in readings] == [
        "100 users ÷ 1.68/s = 59.5 s",
        "50 users ÷ 1.68/s = 29.8 s",
    ]
    assert "request timeout" in readings[0].text
    assert "QueuePool limit" in readings[1].text
    assert PUBLISHED["main/v1"].judgement == "open"


@pytest.mark.parametrize(("rps", "fits"), [(1.68, True), (1.5, False)])
def test_a_timeout_is_a_reading_only_where_the_users_make_it_one(rps: float, fits: bool) -> None:
    timeout = {"name": "a timeout", "s": 60.0, "seen": "Failures."}
    assert ("timeout" in verdicts(audited(users=100, rps=rps, timeouts=(timeout,)))) == fits


@pytest.mark.parametrize(
    ("name", "verdict", "limit"),
    [
        ("sleep/sync-w16", "explained", "threads"),
        ("sleep/anyio-w16", "explained", "threads"),
        ("http-io/sync", "doubtful", "threads"),
        ("http-io/async-sync", "explained", "event loop"),
        ("tasks/sync", "explained", "threads"),
        ("tasks/concurrent", "explained", "users"),
        ("simulation/async-w1-fib30", "agrees", None),
    ],
)
def test_the_published_row(name: str, verdict: str, limit: str | None) -> None:
    judged = PUBLISHED[name]
    assert (judged.judgement, judged.limit.rule if judged.limit else None) == (verdict, limit)


def test_no_published_row_breaks_the_arithmetic() -> None:
    assert [name for name, judged in PUBLISHED.items() if judged.judgement == "cannot be"] == []


MINE = """
[studies.mine]
shared = {{ users = 10 }}
[studies.mine.rows]
one = {{ {row} }}
"""


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("rsp = 1", r"mine.toml: studies.mine.rows.one.rsp: unknown key; a row may have users, "),
        ("rps = 0", "studies.mine.rows.one.rps: Input should be greater than 0, not 0"),
        ("rps = nan", "studies.mine.rows.one.rps: Input should be a finite number"),
        ("rps = 'fast'", "studies.mine.rows.one.rps: Input should be a valid number, not 'fast'"),
        ("failed_ratio = 93", "failed_ratio: Input should be less than or equal to 1"),
        ("timeouts = 60", "studies.mine.rows.one.timeouts: an array of tables is expected"),
        ("timeouts = [{ s = 60 }]", "studies.mine.rows.one.timeouts.0.name: Field required"),
        ("rps = ", "not TOML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, row: str, complaint: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE.format(row=row), encoding="utf-8")
    with pytest.raises(UsageError, match=complaint):
        load_claims(file)


def test_names_and_notes_do_not_break_a_table(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[studies."a/b".rows]\none = { rps = 1 }\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"studies\.a/b.*should match pattern"):
        load_claims(file)
    seen = '{ name = "mine", s = 1, seen = "a|b" }'
    file.write_text(MINE.format(row=f"rps = 10, timeouts = [{seen}]"), encoding="utf-8")
    studies = load_claims(file)
    assert "a\\|b" in FORMATS["markdown"](studies, judge(studies))


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[studies.mine]\nrows = {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"studies\.mine\.rows: Dictionary should have at least 1 item"):
        load_claims(file)


def test_the_command_ends_with_4_when_a_row_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(MINE.format(row="rps = 100, mean_ms = 1000"), encoding="utf-8")
    run = CliRunner().invoke(app, ["audit", str(file)])
    assert run.exit_code == 4
    assert "mine/one" in run.output
    assert "900% more than the 10 there are" in " ".join(run.output.split())


@pytest.mark.parametrize(
    "arguments", [["audit", "no/such.toml"], ["audit", "--format", "html"]], ids=["no file", "no format"]
)
def test_the_command_ends_with_2_on_misuse(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_every_format_tells_every_row() -> None:
    studies = load_claims(paths.PUBLISHED)
    rows = judge(studies)
    for name, render in FORMATS.items():
        text = render(studies, rows)
        assert all(judged.name in text for judged in rows), name
    assert len(json.loads(FORMATS["json"](studies, rows))["rows"]) == len(rows)
