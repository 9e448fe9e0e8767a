"""The data for real, at a small scale: the same rows every time, and nothing half made is ever used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from benchmarks.seed.catalog import structure
from benchmarks.seed.published import SCHEMA, inserts
from tests.e2e.test_postgres_server import free_port, reachable_folder
from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady, UsageError
from vcpu_ladder.postgres import databases, rows
from vcpu_ladder.postgres.connect import connect, one, session, with_database
from vcpu_ladder.postgres.databases import Kind
from vcpu_ladder.postgres.plan import Layout, SeedPlan
from vcpu_ladder.postgres.restore import RUN_DATABASE, restore
from vcpu_ladder.postgres.seed import seed, seed_native
from vcpu_ladder.postgres.server import ExternalServer, NativeServer, Server
from vcpu_ladder.postgres.verify import TABLES, checksums, verify_rows, verify_structure
from vcpu_ladder.records.events import Preparing

pytestmark = pytest.mark.e2e

PLAN = SeedPlan(scale=0.002)


def quiet(_: Preparing) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[NativeServer]:
    with reachable_folder() as home:
        port = free_port()
        report = seed_native(home, port, PLAN, quiet)
        assert report.settings_not_in_force == {}
        with NativeServer.start(home, port) as started:
            yield started


def restored(server: Server, plan: SeedPlan = PLAN) -> dict[str, str]:
    restore(server, plan)
    with session(server.url(RUN_DATABASE)) as connection:
        return checksums(connection)


def count_databases(server: Server, pattern: str) -> int:
    with session(server.url()) as control:
        return int(one(control, "SELECT count(*) FROM pg_database WHERE datname LIKE %s", (pattern,))[0])


# What is seeded


def test_the_structure_is_that_of_the_published_ddl(server: NativeServer) -> None:
    restore(server, PLAN)
    with session(server.url()) as control:
        control.execute("CREATE DATABASE by_published_ddl")
    with session(server.url("by_published_ddl")) as connection:
        for statement in SCHEMA:
            connection.execute(statement.encode())
        wanted = structure(connection)
    with session(server.url(RUN_DATABASE)) as connection:
        assert structure(connection) == wanted
    assert sum(name.startswith("index ") for name in wanted) == 9
    assert sum(name.startswith("trigger fk") or "fk_" in name for name in wanted) >= 3


def test_the_next_insert_gets_the_next_id_in_every_table(server: NativeServer) -> None:
    restore(server, PLAN)
    with session(server.url(RUN_DATABASE)) as connection:
        for table, values in (
            ("users (name, email)", "('n', 'n@example.com')"),
            ("products (title, unit_price)", "('t', 1)"),
            ("orders (user_id, status)", "(1, 'paid')"),
            ("order_items (order_id, product_id, quantity, unit_price)", "(1, 1, 1, 1)"),
        ):
            query = f"INSERT INTO {table} VALUES {values} RETURNING id"
            assert one(connection, query) == (PLAN.rows[table.split()[0]] + 1,)


def test_the_published_sql_has_the_two_faults_that_we_put_right(server: NativeServer) -> None:
    with session(server.url()) as control:
        control.execute("CREATE DATABASE by_published_sql")
    with session(server.url("by_published_sql")) as connection:
        for statement in (*SCHEMA, *inserts(0.001).values()):
            connection.execute(statement.encode())
        assert one(connection, "SELECT max(order_id) FROM order_items")[0] <= 1_000
        assert {table: one(connection, f"SELECT count(*) FROM {table}")[0] for table in TABLES} == SeedPlan(
            0.001
        ).rows
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO orders (user_id, status) VALUES (1, 'paid')")


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO users (name, email) VALUES ('x', 'user_1@example.com')",
        "INSERT INTO users (id, name, email) VALUES (1, 'x', 'y')",
        "INSERT INTO orders (user_id, status) VALUES (0, 'paid')",
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES (0, 1, 1, 1)",
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES (1, 0, 1, 1)",
        "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES (1, 1, 0, 1)",
        "INSERT INTO products (title) VALUES ('x')",
    ],
)
def test_the_constraints_are_in_force(server: NativeServer, insert: str) -> None:
    if not count_databases(server, RUN_DATABASE):
        restore(server, PLAN)
    with session(server.url(RUN_DATABASE)) as connection, pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(insert.encode())


def test_the_same_plan_gives_the_same_rows_and_another_gives_others(
    server: NativeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = restored(server)
    monkeypatch.setattr(rows, "CHUNK_ROWS", 777)
    assert not seed(server, PLAN, quiet, anew=True).already_there
    assert restored(server) == first
    for other in (SeedPlan(PLAN.scale, seed=2), SeedPlan(PLAN.scale, layout=Layout.PUBLISHED)):
        seed(server, other, quiet)
        assert restored(server, other)["order_items"] != first["order_items"]
    assert restored(server) == first


def test_layouts_differ_in_which_orders_have_items(server: NativeServer) -> None:
    for layout, share in ((Layout.PUBLISHED, 0.2), (Layout.SPREAD, 1.0)):
        plan = SeedPlan(PLAN.scale, layout=layout)
        seed(server, plan, quiet)
        restore(server, plan)
        with session(server.url(RUN_DATABASE)) as connection:
            last = one(connection, "SELECT max(order_id) FROM order_items")[0]
        assert last == pytest.approx(share * plan.rows["orders"], rel=0.01)


def test_a_seed_that_is_there_is_not_made_again(server: NativeServer) -> None:
    report = seed(server, PLAN, quiet)
    assert report.already_there
    assert report.steps == {}


def test_rows_are_frozen_and_every_page_is_known_to_be_visible(server: NativeServer) -> None:
    """Otherwise the first reads of every run would write hint bits, and vacuum would wake up amid one."""
    restore(server, PLAN)
    with session(server.url(RUN_DATABASE)) as connection:
        for table in TABLES:
            # Pages behind the last row are allocated in advance and empty.
            used = one(connection, f"SELECT max((ctid::text::point)[0])::int + 1 FROM {table}")
            query = "SELECT relallvisible FROM pg_class WHERE oid = %s::regclass"
            assert one(connection, query, (table,)) == used


# What a run may leave


def test_no_write_of_a_run_reaches_the_next(server: NativeServer) -> None:
    before = restored(server)
    with session(server.url(RUN_DATABASE)) as connection:
        connection.execute("INSERT INTO orders (user_id, status) VALUES (1, 'paid')")
        connection.execute("UPDATE products SET unit_price = 0")
        connection.execute("DELETE FROM order_items WHERE id % 2 = 0")
        connection.execute("DROP INDEX idx_orders_user_id")
        connection.execute("CREATE TABLE mine ()")
        assert checksums(connection) != before
        report = restore(server, PLAN)  # the session above is still open, as a hung service's would be
    assert report.rows == PLAN.rows
    with session(server.url(RUN_DATABASE)) as connection:
        assert checksums(connection) == before
        verify_structure(connection, PLAN)
        assert one(connection, "SELECT to_regclass('mine')") == (None,)


def test_nobody_connects_to_the_template(server: NativeServer) -> None:
    with pytest.raises(EnvironmentNotReady, match="no connection") as caught:
        connect(server.url(PLAN.template))
    assert "not currently accepting connections" in (caught.value.evidence or "")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM users WHERE id = 1999", "rows"),
        ("SELECT setval('orders_id_seq', 1)", "rows"),
        ("INSERT INTO products (title, unit_price) VALUES ('x', 1)", "rows"),
        ("DROP INDEX idx_order_items_product_id", "indexes"),
        ("ALTER TABLE orders DROP CONSTRAINT fk_orders_user", "constraints"),
        (
            "ALTER TABLE orders DROP CONSTRAINT fk_orders_user;"
            " ALTER TABLE orders ADD CONSTRAINT fk_orders_user"
            " FOREIGN KEY (user_id) REFERENCES users NOT VALID",
            "constraints",
        ),
    ],
)
def test_data_that_is_not_as_seeded_is_told(server: NativeServer, damage: str, told: str) -> None:
    restore(server, PLAN)
    with session(server.url(RUN_DATABASE)) as connection:
        if "DELETE FROM users" in damage:
            connection.execute("ALTER TABLE orders DROP CONSTRAINT fk_orders_user")
        connection.execute(damage.encode())
        with pytest.raises(EnvironmentNotReady, match="not as seeded") as caught:
            (verify_rows if told == "rows" else verify_structure)(connection, PLAN)
    assert "--anew" in (caught.value.next_command or "")


# What is not ours


def test_a_foreign_database_is_never_dropped(server: NativeServer) -> None:
    with session(server.url()) as control:
        databases.drop(control, RUN_DATABASE)
        for name in (RUN_DATABASE, "vcpu_ladder_theirs", "shop"):
            control.execute(f"CREATE DATABASE {name}".encode())
        try:
            with pytest.raises(EnvironmentNotReady, match="is not ours"):
                restore(server, PLAN)
            with pytest.raises(EnvironmentNotReady, match="is not ours"):
                restore(server, PLAN, "vcpu_ladder_theirs")
            with pytest.raises(UsageError, match="begin with vcpu_ladder_"):
                restore(server, PLAN, "shop")
            with pytest.raises(UsageError):
                databases.drop(control, "postgres")
            databases.drop_unfinished(control)
            for name in (RUN_DATABASE, "vcpu_ladder_theirs", "shop"):
                assert databases.exists(control, name)
        finally:
            for name in (RUN_DATABASE, "vcpu_ladder_theirs", "shop"):
                control.execute(f"DROP DATABASE {name}".encode())


def test_a_new_database_is_ours_before_it_has_its_comment(
    server: NativeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with session(server.url()) as control:
        databases.drop(control, RUN_DATABASE)
        with monkeypatch.context() as patch:
            patch.setattr(databases, "set_mark", killed)
            with pytest.raises(KeyboardInterrupt):
                restore(server, PLAN)
        assert databases.ours(control)[RUN_DATABASE].kind is Kind.UNFINISHED
        assert restore(server, PLAN).rows == PLAN.rows
        assert databases.ours(control)[RUN_DATABASE].kind is Kind.RUN


def test_a_database_whose_drop_was_interrupted_is_dropped(server: NativeServer) -> None:
    restore(server, PLAN)
    with session(server.url()) as control:
        # What PostgreSQL itself writes before it removes the files.
        control.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", (RUN_DATABASE,))
    assert restore(server, PLAN).rows == PLAN.rows


def test_a_server_of_theirs_is_seeded_without_its_superuser(server: NativeServer) -> None:
    with session(server.url()) as control:
        control.execute("CREATE ROLE theirs LOGIN CREATEDB PASSWORD 'x'")
        templates = count_databases(server, "vcpu_ladder_template_%")
    url = f"postgresql://theirs:x@127.0.0.1:{server.port}/postgres"
    plan = SeedPlan(0.001, seed=7)
    external = ExternalServer.check(url)
    report = seed(external, plan, quiet)
    assert report.settings_not_in_force["wal_level"] == "replica"
    assert "maintenance_work_mem" not in report.settings_not_in_force
    assert restore(external, plan, "vcpu_ladder_theirs").rows == plan.rows
    with session(with_database(url, "vcpu_ladder_theirs")) as connection:
        verify_structure(connection, plan)
    assert count_databases(server, "vcpu_ladder_template_%") == templates + 1


def test_two_seeds_at_once_take_turns(server: NativeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_LOCK_WAIT_S", 1)
    with databases.exclusive(server), pytest.raises(EnvironmentNotReady, match="another seed"):
        seed(server, PLAN, quiet)


def test_the_benchmark_ends_with_its_line() -> None:
    with reachable_folder() as folder:
        answer = subprocess.run(
            [sys.executable, "-m", "benchmarks.seed", "--scale", "0.001", "--repeats", "1"]
            + ["--folder", str(folder), "--port", str(free_port())],
            cwd=paths.HOME,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        last = answer.stdout.splitlines()[-1]
        name, ratio, seconds = last.split(" ")
        assert name == "seed_vs_published"
        assert float(ratio.removeprefix("ratio=")) > 0
        assert float(seconds.removeprefix("seconds=")) > 0
        assert not list(folder.iterdir())
