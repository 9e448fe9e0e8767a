"""The shop in SQLite: the published schema, generated from a seed, copied fresh for each run."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vcpu_ladder.data.words import WORDS
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.scale import STATUSES, Scale

# Changes when the rows or the schema change, so that an old file is never mistaken for a new one.
GENERATION = 2

_TABLES = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE products (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, unit_price NUMERIC NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), status TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE order_items (
    id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id),
    product_id INTEGER NOT NULL REFERENCES products (id), quantity INTEGER NOT NULL CHECK (quantity > 0),
    unit_price NUMERIC NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""
_INDEXES = """
CREATE INDEX idx_orders_user_id ON orders (user_id);
CREATE INDEX idx_order_items_order_id ON order_items (order_id);
CREATE INDEX idx_order_items_product_id ON order_items (product_id);
CREATE INDEX idx_order_items_order_product ON order_items (order_id, product_id);
"""
OnRows = Callable[[str, int, int], None]
_TELL_EVERY = 100_000
# A fixed day: the same seed must give the same rows next year.
_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)


def template(folder: Path, scale: Scale, seed: int, on_rows: OnRows = lambda *_: None) -> Path:
    """The generated database for (scale, seed), made now if it does not exist yet.

    ``on_rows`` is called with (step, done, total) while rows are made: a minute or two at full scale.
    """
    path = folder / f"shop-v{GENERATION}-scale{scale.factor:g}-seed{seed}.sqlite"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        _generate(unfinished, scale, seed, on_rows)
        check_rows(unfinished, scale)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def restore(source: Path, target: Path, scale: Scale) -> None:
    """Put ``source``'s rows at ``target``, replacing what an earlier run left there, and count them.

    Raises EnvironmentNotReady if the copy does not hold the rows that the scale requires.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(target.name + "*"):  # the journal and WAL files too
        leftover.unlink()
    shutil.copyfile(source, target)
    check_rows(target, scale)


def check_rows(path: Path, scale: Scale) -> None:
    """Row counts and the next ids. Raises EnvironmentNotReady naming the table that differs."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        for table, rows in scale.rows.items():
            count, last = connection.execute(f"SELECT COUNT(*), MAX(id) FROM {table}").fetchone()
            if (count, last) != (rows, rows):
                raise EnvironmentNotReady(
                    f"{path.name}: table {table} has {count} rows up to id {last}, expected {rows}",
                    next_command=f"rm {path}",
                )
    finally:
        connection.close()


def _generate(path: Path, scale: Scale, seed: int, on_rows: OnRows) -> None:
    path.unlink(missing_ok=True)
    rows = scale.rows
    dice = random.Random(seed)
    prices = [round(dice.random() * 500, 2) for _ in range(rows["products"])]
    connection = sqlite3.connect(path)
    try:
        connection.executescript("PRAGMA journal_mode=off; PRAGMA synchronous=off;" + _TABLES)
        made = {
            "users": _users(rows, dice),
            "products": _products(prices, dice),
            "orders": _orders(rows, dice),
            "order_items": _items(rows, prices, dice),
        }
        for table, content in made.items():
            places = "?, ?, ?, ?, ?, ?" if table == "order_items" else "?, ?, ?, ?"
            told = _told(content, f"SQLite rows {table}", rows[table], on_rows)
            connection.executemany(f"INSERT INTO {table} VALUES ({places})", told)
        connection.commit()
        connection.executescript(_INDEXES + "ANALYZE; PRAGMA journal_mode=delete;")
        on_rows("SQLite indexes", 1, 1)
    finally:
        connection.close()
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _told(
    content: Iterator[tuple[object, ...]], step: str, total: int, on_rows: OnRows
) -> Iterator[tuple[object, ...]]:
    for done, row in enumerate(content, start=1):
        yield row
        if done % _TELL_EVERY == 0 or done == total:
            on_rows(step, done, total)


def _moment(dice: random.Random) -> str:
    return (_NEWEST - timedelta(seconds=dice.randrange(365 * 86400))).strftime("%Y-%m-%d %H:%M:%S")


def _users(rows: dict[str, int], dice: random.Random) -> Iterator[tuple[object, ...]]:
    for user in range(1, rows["users"] + 1):
        yield user, f"user_{user}", f"user_{user}@example.com", _moment(dice)


def _products(prices: list[float], dice: random.Random) -> Iterator[tuple[object, ...]]:
    for product, price in enumerate(prices, start=1):
        yield product, " ".join(dice.choices(WORDS, k=3)), price, _moment(dice)


def _orders(rows: dict[str, int], dice: random.Random) -> Iterator[tuple[object, ...]]:
    for order in range(1, rows["orders"] + 1):
        yield order, dice.randint(1, rows["users"]), dice.choice(STATUSES), _moment(dice)


def _items(rows: dict[str, int], prices: list[float], dice: random.Random) -> Iterator[tuple[object, ...]]:
    for item in range(1, rows["order_items"] + 1):
        product = dice.randint(1, rows["products"])
        order = dice.randint(1, rows["orders"])
        yield item, order, product, dice.randint(1, 5), prices[product - 1], _moment(dice)
