"""The PostgreSQL knobs: which conflict, which have no effect, and one SQL text for every driver."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from services.api import sql
from services.api.db.engines import engine_arguments, engine_url
from services.api.db.paramstyle import numbered, pyformat
from services.api.db.postgres import asyncpg_sizes, prepare_threshold, psycopg_sizes, statement_cache_size
from services.api.settings import Settings, SettingsError
from services.contract.knobs import DEFAULTS, KNOBS
from vcpu_ladder.environments import live_data
from vcpu_ladder.environments.live_data import Watcher, _counted
from vcpu_ladder.errors import EnvironmentNotReady

ENV = {
    "API_DATABASE": "postgres",
    "API_DATABASE_URL": "postgresql://user:secret@127.0.0.1:5432/shop",
    "API_UPSTREAM_URL": "http://127.0.0.1:9100",
}


def settings(**knobs: Any) -> Settings:
    return Settings.from_env(ENV | {KNOBS[name].variable: str(value) for name, value in knobs.items()})


def test_a_statement_is_written_as_each_driver_wants_it() -> None:
    text = "SELECT :a::text, x FROM t WHERE b = :b_id AND a = :a"
    assert pyformat(text) == "SELECT %(a)s::text, x FROM t WHERE b = %(b_id)s AND a = %(a)s"
    assert numbered(text) == ("SELECT $1::text, x FROM t WHERE b = $2 AND a = $1", ("a", "b_id"))


def test_no_statement_of_the_service_has_a_percent_sign() -> None:
    """psycopg would read it as the start of a parameter."""
    assert all("%" not in text for name, text in vars(sql).items() if name.isupper())


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"driver": "asyncpg"}, "needs database = postgres"),
        ({"database": "postgres", "driver": "asyncpg", "handlers": "sync"}, "needs handlers = async"),
        (
            {"database": "postgres", "driver": "sqlalchemy-asyncpg", "handlers": "blocking"},
            "handlers = async",
        ),
        ({"database": "postgres", "driver": "asyncpg", "pool": "null"}, "needs another pool"),
    ],
)
def test_drivers_that_cannot_be_are_refused(knobs: Mapping[str, Any], message: str) -> None:
    assert message in (KNOBS["driver"].conflict({**DEFAULTS, **knobs}) or "")


@pytest.mark.parametrize("driver", KNOBS["driver"].allowed)
def test_every_driver_can_be_on_postgres(driver: str) -> None:
    assert KNOBS["driver"].conflict({**DEFAULTS, "database": "postgres", "driver": driver}) is None


def test_knobs_of_the_other_database_are_idle() -> None:
    assert KNOBS["prepared"].inapplicable_because({**DEFAULTS, "database": "sqlite"})
    assert KNOBS["sqlite"].inapplicable_because({**DEFAULTS, "database": "postgres"})
    assert KNOBS["prepared"].inapplicable_because({**DEFAULTS, "database": "postgres"}) is None
    assert KNOBS["sqlite"].inapplicable_because(DEFAULTS) is None


def test_every_pool_may_open_the_same_number_of_connections() -> None:
    """Otherwise a change of driver would also be a change of pool."""
    knobs: dict[str, Any] = {"pool": "queue", "pool_size": 7, "pool_overflow": 4}
    alchemy = engine_arguments(settings(**knobs))
    assert alchemy["pool_size"] + alchemy["max_overflow"] == 11
    assert psycopg_sizes(settings(**knobs, driver="psycopg"))["max_size"] == 11
    assert asyncpg_sizes(settings(**knobs, driver="asyncpg"))["max_size"] == 11
    for driver in ("psycopg", "asyncpg"):
        assert KNOBS["pool_size"].proof.expected({**DEFAULTS, **knobs, "driver": driver}) == 11


@pytest.mark.parametrize("driver", KNOBS["driver"].allowed)
def test_prepared_off_reaches_every_driver(driver: str) -> None:
    off = settings(driver=driver, prepared="off")
    assert prepare_threshold(off) is None
    assert statement_cache_size(off) == 0
    assert statement_cache_size(settings(driver=driver)) > 0


def test_the_engine_goes_to_the_server_with_the_driver_and_the_workers_name() -> None:
    one = settings(driver="sqlalchemy-asyncpg")
    assert engine_url(one, "aiosqlite").drivername == "postgresql+asyncpg"
    assert engine_url(settings(), "aiosqlite").drivername == "postgresql+psycopg"
    assert engine_arguments(settings())["connect_args"]["application_name"] == one.application_name


def test_a_service_on_postgres_without_an_address_says_so() -> None:
    with pytest.raises(SettingsError, match="API_DATABASE_URL is not set"):
        Settings.from_env({**ENV, "API_DATABASE_URL": ""})


def test_connections_are_counted_by_worker_and_state() -> None:
    rows = [
        ("ladder-api-11", "idle", False, 4),
        ("ladder-api-11", "active", True, 1),
        ("ladder-api-12", "idle in transaction", False, 2),
        ("ladder-api-12", "idle in transaction (aborted)", False, 1),
        ("ladder-api-12", "", False, 1),
    ]
    seen = _counted(rows)
    assert seen.by_pid == {11: 5, 12: 4}
    assert (seen.active, seen.idle, seen.idle_in_transaction, seen.waiting_for_locks) == (1, 4, 3, 1)


class FakeSession:
    """A session whose query lasts until ``answer`` is set, or fails with ``error``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked, self.answer, self.error, self.closed = threading.Event(), threading.Event(), error, False

    def execute(self, *_: object) -> FakeSession:
        self.asked.set()
        self.answer.wait(5)
        if self.error:
            raise self.error
        return self

    def fetchall(self) -> list[tuple[str, str, bool, int]]:
        return [("ladder-api-11", "idle", False, 1)]

    def close(self) -> None:
        self.closed = True


def test_no_second_question_waits_behind_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    session = FakeSession()
    monkeypatch.setattr(live_data, "connect", lambda _: session)
    watcher = Watcher("url")
    first = threading.Thread(target=watcher.look)
    first.start()
    session.asked.wait(5)
    with pytest.raises(EnvironmentNotReady, match="has not answered the last query"):
        watcher.look()
    session.answer.set()
    first.join()
    assert watcher.look().by_pid == {11: 1}


def test_a_session_that_the_server_ended_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [FakeSession(psycopg.OperationalError("server closed the connection")), FakeSession()]
    for session in sessions:
        session.answer.set()
    opened = iter(sessions)
    monkeypatch.setattr(live_data, "connect", lambda _: next(opened))
    watcher = Watcher("url")
    with pytest.raises(EnvironmentNotReady, match="ended a session: server closed the connection"):
        watcher.look()
    assert sessions[0].closed
    seen = watcher.look()
    assert (seen.idle, seen.interruptions) == (1, 1)
