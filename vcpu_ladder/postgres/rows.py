"""The seed's rows as PostgreSQL binary COPY data, computed by numpy from the row ids.

Every value derives from a hash of (seed, column, row id). There is no generator state, so a row does not
depend on how the work is split into chunks, on the client's random library or on the server's plans. Values
follow the published distributions; a row's content is fixed by (seed, scale, layout) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcpu_ladder.data.words import WORDS
from vcpu_ladder.ladder.scale import STATUSES
from vcpu_ladder.postgres.plan import SeedPlan

Ids = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

CHUNK_ROWS = 50_000
"""Rows in one block given to the driver: a few megabytes, so neither memory nor latency grows with scale."""

# created_at values lie in the year before this instant; fixed, because NOW() would make every seed differ.
# A binary timestamptz counts microseconds from 2000-01-01 UTC; this is 2026-01-01 UTC.
_EPOCH_US = 820_540_800 * 1_000_000
_YEAR_US = 365 * 86_400 * 1_000_000

MAX_PRICE_CENTS = 50_000
MAX_QUANTITY = 5
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


@dataclass(frozen=True)
class Table:
    """One table's rows: ``columns`` in the order in which ``blocks`` encodes them."""

    name: str
    columns: tuple[str, ...]
    rows: int
    blocks: Callable[[], Iterator[tuple[int, bytes]]]
    """Yields (rows so far, COPY bytes); the first block carries the header, the last the trailer."""


def tables(plan: SeedPlan) -> tuple[Table, ...]:
    """The four tables of a plan, referenced tables first."""
    made = (
        ("products", ("id", "title", "unit_price", "created_at"), _products),
        ("users", ("id", "name", "email", "created_at"), _users),
        ("orders", ("id", "user_id", "created_at", "status"), _orders),
        ("order_items", ("id", "order_id", "product_id", "quantity", "unit_price", "created_at"), _items),
    )
    return tuple(
        Table(name, columns, plan.rows[name], _Blocks(plan, name, encode)) for name, columns, encode in made
    )


@dataclass(frozen=True)
class _Blocks:
    plan: SeedPlan
    name: str
    encode: Callable[[SeedPlan, Ids], bytes]

    def __call__(self) -> Iterator[tuple[int, bytes]]:
        rows = self.plan.rows[self.name]
        head = _COPY_HEADER
        for first, last in _ranges(rows):
            yield last, head + self.encode(self.plan, np.arange(first, last + 1, dtype=np.int64))
            head = b""
        yield rows, head + _COPY_TRAILER


def _ranges(rows: int) -> Iterator[tuple[int, int]]:
    """Inclusive id ranges whose ids all have the same number of digits, so that their text has one width."""
    first = 1
    while first <= rows:
        last = min(rows, first + CHUNK_ROWS - 1, 10 ** len(str(first)) - 1)
        yield first, last
        first = last + 1


def _hash(plan: SeedPlan, column: str, ids: Ids) -> Hashes:
    """64 uniform bits per row: splitmix64's finaliser over (seed, column, id)."""
    salt = int.from_bytes(column.encode()[-8:], "little") ^ (plan.seed * 0xD1342543DE82EF95)
    z = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + _mix(
        np.array([salt & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    )
    return _mix(z)


def _mix(z: Hashes) -> Hashes:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _below(hashes: Hashes, bound: int) -> Ids:
    """Uniform integers in 0..bound-1 from the upper 32 bits; ``bound`` is below 2**32 at any scale."""
    return (((hashes >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def _created(plan: SeedPlan, table: str, ids: Ids) -> Ids:
    hashes = _hash(plan, f"{table}.at", ids)
    # A year in microseconds needs 45 bits: draw seconds and microseconds apart to stay within 64 bits.
    seconds = _below(hashes, _YEAR_US // 1_000_000)
    micros = _below(hashes << np.uint64(32), 1_000_000)
    return _EPOCH_US - seconds * 1_000_000 - micros


def price_cents(plan: SeedPlan, product_ids: Ids) -> Ids:
    """0.00 to 500.00; the two ends are half as likely as other values, as when a uniform is rounded."""
    return (_below(_hash(plan, "price", product_ids), 2 * MAX_PRICE_CENTS) + 1) // 2


_Field = tuple[str, str, Any]


def _records(rows: int, fields: list[_Field]) -> NDArray[Any]:
    """Rows as packed records: field count, then each field preceded by its byte length.

    A field is (name, numpy format, values); format ``N`` is a numeric with two decimals, given in cents.
    """
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, form, _ in fields:
        layout.append((f"{name}_length", ">i4"))
        if form == "N":
            layout += [
                (f"{name}_{part}", ">i2") for part in ("digits", "weight", "sign", "scale", "whole", "cents")
            ]
        else:
            layout.append((name, form))
    out = np.empty(rows, dtype=np.dtype(layout))
    out["fields"] = len(fields)
    for name, form, values in fields:
        if form == "N":
            out[f"{name}_length"] = 12
            for part, value in (("digits", 2), ("weight", 0), ("sign", 0), ("scale", 2)):
                out[f"{name}_{part}"] = value
            out[f"{name}_whole"] = values // 100
            out[f"{name}_cents"] = values % 100 * 100  # base-10000 digit: .05 is 0500
        else:
            out[f"{name}_length"] = out.dtype[name].itemsize
            out[name] = values
    return out


def _texts(prefix: bytes, ids: Ids, suffix: bytes) -> NDArray[Any]:
    """``prefix`` + id + ``suffix`` for ids of one digit count, as fixed-width bytes."""
    width = len(str(int(ids[0])))
    out = np.empty((len(ids), len(prefix) + width + len(suffix)), dtype=np.uint8)
    out[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    for place in range(width):
        out[:, len(prefix) + width - 1 - place] = ids // 10**place % 10 + ord("0")
    out[:, len(prefix) + width :] = np.frombuffer(suffix, dtype=np.uint8)
    return out.view(f"V{out.shape[1]}")[:, 0]


def _users(plan: SeedPlan, ids: Ids) -> bytes:
    names, emails = _texts(b"user_", ids, b""), _texts(b"user_", ids, b"@example.com")
    return _records(
        len(ids),
        [
            ("id", ">i8", ids),
            ("name", names.dtype.str, names),
            ("email", emails.dtype.str, emails),
            ("created", ">i8", _created(plan, "users", ids)),
        ],
    ).tobytes()


def _products(plan: SeedPlan, ids: Ids) -> bytes:
    """Titles differ in length by row, and there are few: each is joined to the fixed parts by itself."""
    heads = _records(len(ids), [("id", ">i8", ids)])
    heads["fields"] = 4
    tails = _records(
        len(ids),
        [("price", "N", price_cents(plan, ids)), ("created", ">i8", _created(plan, "products", ids))],
    )
    head_bytes, tail_bytes = heads.tobytes(), tails.tobytes()
    head_size, tail_size = heads.dtype.itemsize, tails.dtype.itemsize
    words = [_below(_hash(plan, f"title{n}", ids), len(WORDS)).tolist() for n in range(3)]
    out = []
    for row, chosen in enumerate(zip(*words, strict=True)):
        title = " ".join(WORDS[word] for word in chosen).encode()
        # 2: the tail's own field count, which a record carries only once.
        tail = tail_bytes[row * tail_size + 2 : (row + 1) * tail_size]
        out += [
            head_bytes[row * head_size : (row + 1) * head_size],
            len(title).to_bytes(4, "big"),
            title,
            tail,
        ]
    return b"".join(out)


def _orders(plan: SeedPlan, ids: Ids) -> bytes:
    """The status comes last: rows are written at the longest status's width and cut to their own."""
    chosen = _below(_hash(plan, "status", ids), len(STATUSES))
    lengths = np.array([len(status) for status in STATUSES], dtype=np.int64)
    width = int(lengths.max())
    status = np.array([status.encode() for status in STATUSES], dtype=f"S{width}")
    records = _records(
        len(ids),
        [
            ("id", ">i8", ids),
            ("user", ">i8", 1 + _below(_hash(plan, "user", ids), plan.rows["users"])),
            ("created", ">i8", _created(plan, "orders", ids)),
            ("status", f"S{width}", status[chosen]),
        ],
    )
    records["status_length"] = lengths[chosen]
    square = records.view(np.uint8).reshape(len(ids), records.dtype.itemsize)
    ends = square.shape[1] - width + lengths[chosen]
    return square[np.arange(square.shape[1]) < ends[:, None]].tobytes()


def _items(plan: SeedPlan, ids: Ids) -> bytes:
    products = 1 + _below(_hash(plan, "product", ids), plan.rows["products"])
    return _records(
        len(ids),
        [
            ("id", ">i8", ids),
            ("order", ">i8", 1 + _below(_hash(plan, "order", ids), plan.orders_with_items)),
            ("product", ">i8", products),
            ("quantity", ">i4", 1 + _below(_hash(plan, "quantity", ids), MAX_QUANTITY)),
            # The price at the time of the order is the product's, as published.
            ("price", "N", price_cents(plan, products)),
            ("created", ">i8", _created(plan, "items", ids)),
        ],
    ).tobytes()
