"""The PostgreSQL package without a server: settings, steps, URLs, access to directories."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from vcpu_ladder.errors import EnvironmentNotReady, UsageError
from vcpu_ladder.postgres.account import Account
from vcpu_ladder.postgres.conf import read_settings
from vcpu_ladder.postgres.connect import Connection, with_database, without_password
from vcpu_ladder.postgres.load import load_steps, statements
from vcpu_ladder.postgres.plan import SeedPlan, schema_files
from vcpu_ladder.postgres.seed import _check_room
from vcpu_ladder.postgres.server import MEASURE, SEED
from vcpu_ladder.postgres.steps import OnProgress, Step, run_steps
from vcpu_ladder.records.events import Preparing


@pytest.mark.parametrize("path", [MEASURE, SEED])
def test_neither_configuration_gives_up_durability(path: Path) -> None:
    settings = read_settings(path)
    assert settings
    assert not {"fsync", "full_page_writes", "synchronous_commit"} & settings.keys()


def test_what_is_measured_keeps_the_log_that_production_keeps() -> None:
    assert "wal_level" not in read_settings(MEASURE)
    assert "autovacuum" not in read_settings(MEASURE)


def test_a_line_that_is_no_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("# fine\njit = off  # why\nlog_timezone = 'UTC'\n")
    assert read_settings(path) == {"jit": "off", "log_timezone": "UTC"}
    path.write_text("jit\n")
    with pytest.raises(ValueError, match=r"x\.conf: not a setting: jit"):
        read_settings(path)


def test_a_url_is_moved_to_another_database_and_shown_without_its_password() -> None:
    url = with_database("postgresql://me:se%40cret@db:5433/shop?sslmode=require", "vcpu ladder")
    assert url == "postgresql://me:se%40cret@db:5433/vcpu%20ladder?sslmode=require"
    assert without_password(url) == "postgresql://me@db:5433/vcpu%20ladder?sslmode=require"


@pytest.mark.parametrize("url", ["postgresql+asyncpg://h/d", "mysql://h/d", "host=h dbname=d", "/tmp/x"])
def test_a_url_that_is_not_postgresqls_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL"):
        with_database(url, "x")


def test_every_statement_of_the_schema_becomes_exactly_one_part_of_a_step() -> None:
    steps = load_steps(SeedPlan(0.001))
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    indexes, keys, foreign = (statements(path) for path in schema_files()[1:])
    assert sum(name.startswith("index ") for name in names) == len(indexes)
    assert sum(name.startswith("foreign key ") for name in names) == len(foreign)
    assert sum(name.startswith("keys ") for name in names) == 4
    assert len(keys) == 5


def test_every_step_waits_for_steps_that_exist_and_none_for_itself() -> None:
    waiting = {step.name: step.needs for step in load_steps(SeedPlan(0.001))}
    done: set[str] = set()
    while ready := {name for name, needs in waiting.items() if needs <= done} - done:
        done |= ready
    assert done == set(waiting)


class FakeSession:
    """Enough of a session for the step runner."""

    def __init__(self) -> None:
        self.closed = False
        self.cancelled = threading.Event()

    def cancel_safe(self, *, timeout: float) -> None:
        self.cancelled.set()

    def close(self) -> None:
        self.closed = True


def run(steps: list[Step], workers: int = 2, on_progress: OnProgress = lambda _: None) -> list[FakeSession]:
    opened: list[FakeSession] = []

    def open_session() -> Connection:
        opened.append(FakeSession())
        return cast(Connection, opened[-1])

    try:
        run_steps(steps, open_session, workers, on_progress)
    finally:
        assert all(session.closed for session in opened)
    return opened


def test_steps_run_after_what_they_need() -> None:
    ran: list[str] = []

    def work(name: str) -> Any:
        return lambda *_: ran.append(name)

    run(
        [
            Step("c", work("c"), frozenset({"a", "b"})),
            Step("b", work("b"), frozenset({"a"})),
            Step("a", work("a")),
        ]
    )
    assert ran == ["a", "b", "c"]


def test_two_steps_run_at_once() -> None:
    both = threading.Barrier(2, timeout=10)
    run([Step("a", lambda *_: void(both.wait())), Step("b", lambda *_: void(both.wait()))])


def void(_: object) -> None: ...


def test_a_failing_step_cancels_the_others_and_is_what_the_caller_sees() -> None:
    def fail(*_: object) -> None:
        raise ValueError("broken")

    def long(session: Connection, _: OnProgress) -> None:
        assert cast(FakeSession, session).cancelled.wait(10)

    never: list[str] = []
    steps = [Step("long", long), Step("bad", fail)]
    steps.append(Step("after", lambda *_: never.append("after"), frozenset({"bad"})))
    with pytest.raises(ValueError, match="broken"):
        run(steps)
    assert not never


def test_a_listener_that_raises_ends_the_load() -> None:
    def listen(progress: Preparing) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([Step("a", lambda *_: None)], on_progress=listen)


def test_a_closed_directory_above_the_data_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    closed.chmod(0o700)
    stranger = Account("stranger", 54_321, 54_321)
    with pytest.raises(EnvironmentNotReady) as caught:
        stranger.check_reach(inner)
    assert "stranger cannot reach" in caught.value.what
    assert caught.value.next_command is not None
    assert caught.value.next_command.startswith("chmod o+x ")
    Account("owner", closed.stat().st_uid, 54_321).check_reach(inner)


class FullServer:
    kind = "native"

    def url(self, database: str = "postgres") -> str:
        raise AssertionError

    def log_tail(self) -> str:
        return ""

    def free_bytes(self) -> int | None:
        return 1_000_000_000


def test_a_seed_that_cannot_fit_is_refused_before_it_starts() -> None:
    _check_room(FullServer(), SeedPlan(0.1))
    with pytest.raises(EnvironmentNotReady, match=r"not enough disk .* 3\.40 GB needed, 1\.00 GB free"):
        _check_room(FullServer(), SeedPlan(1.0))
