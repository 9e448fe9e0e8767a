"""The seed's rows, read back from the COPY bytes without a server."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vcpu_ladder.data.words import WORDS
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.scale import STATUSES
from vcpu_ladder.postgres import rows
from vcpu_ladder.postgres.plan import Layout, SeedPlan
from vcpu_ladder.postgres.rows import tables

SMALL = SeedPlan(scale=0.001)


def copied(plan: SeedPlan, name: str) -> bytes:
    table = next(table for table in tables(plan) if table.name == name)
    return b"".join(block for _, block in table.blocks())


@cache
def fields(plan: SeedPlan, name: str) -> tuple[tuple[bytes, ...], ...]:
    return tuple(_fields(plan, name))


def _fields(plan: SeedPlan, name: str) -> Iterator[tuple[bytes, ...]]:
    """The rows as PostgreSQL's binary COPY format defines them; a malformed stream fails here."""
    data = copied(plan, name)
    assert data.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    place = 19
    while True:
        (count,) = struct.unpack_from(">h", data, place)
        place += 2
        if count == -1:
            break
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", data, place)
            row.append(data[place + 4 : place + 4 + length])
            place += 4 + length
        yield tuple(row)
    assert place == len(data)


def number(field: bytes) -> int:
    return int.from_bytes(field, "big", signed=True)


def cents(field: bytes) -> int:
    digits, weight, sign, scale, whole, part = struct.unpack(">6h", field)
    assert (digits, weight, sign, scale) == (2, 0, 0, 2)
    assert part % 100 == 0
    return int(whole * 100 + part // 100)


def test_every_table_has_its_rows_with_ids_from_one_upwards() -> None:
    for name, count in SMALL.rows.items():
        assert [number(row[0]) for row in fields(SMALL, name)] == list(range(1, count + 1))


def test_users_are_named_after_their_ids() -> None:
    for row in fields(SMALL, "users"):
        user = number(row[0])
        assert row[1] == b"user_%d" % user
        assert row[2] == b"user_%d@example.com" % user


def test_orders_have_every_status_equally_often_and_users_that_exist() -> None:
    found = list(fields(SMALL, "orders"))
    counts = Counter(row[3].decode() for row in found)
    assert set(counts) == set(STATUSES)
    assert all(count == pytest.approx(len(found) / 4, rel=0.1) for count in counts.values())
    users = {number(row[1]) for row in found}
    assert min(users) == 1
    assert max(users) == SMALL.rows["users"]


def test_an_item_costs_what_its_product_costs() -> None:
    prices = {number(row[0]): cents(row[2]) for row in fields(SMALL, "products")}
    assert all(cents(row[4]) == prices[number(row[2])] for row in fields(SMALL, "order_items"))
    assert all(0 <= price <= 50_000 for price in prices.values())


def test_quantities_are_one_to_five_and_equally_likely() -> None:
    counts = Counter(number(row[3]) for row in fields(SMALL, "order_items"))
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert all(count == pytest.approx(2_000, rel=0.1) for count in counts.values())


def test_titles_are_three_published_words() -> None:
    titles = [row[1].decode().split(" ") for row in fields(SMALL, "products")]
    assert all(len(words) == 3 for words in titles)
    assert {word for words in titles for word in words} == set(WORDS)


def test_times_lie_in_the_year_before_a_fixed_instant() -> None:
    newest, year = 820_540_800_000_000, 365 * 86_400_000_000
    for name, column in (("users", 3), ("products", 3), ("orders", 2), ("order_items", 5)):
        times = [number(row[column]) for row in fields(SMALL, name)]
        assert all(newest - year < at <= newest for at in times)
        assert max(times) - min(times) > 0.9 * year


def test_items_spread_over_all_orders_unless_the_published_layout_is_asked_for() -> None:
    orders = {
        layout: {number(row[1]) for row in fields(SeedPlan(0.001, layout=layout), "order_items")}
        for layout in Layout
    }
    assert max(orders[Layout.SPREAD]) > 4_900
    assert max(orders[Layout.PUBLISHED]) == 1_000
    assert len(orders[Layout.PUBLISHED]) == 1_000


def test_rows_do_not_depend_on_how_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: copied(SMALL, name) for name in SMALL.rows}
    monkeypatch.setattr(rows, "CHUNK_ROWS", 333)
    assert {name: copied(SMALL, name) for name in SMALL.rows} == whole


def test_another_seed_gives_other_rows() -> None:
    for name in SMALL.rows:
        assert copied(SeedPlan(0.001, seed=2), name) != copied(SMALL, name)


def test_the_rows_are_the_ones_that_were_seeded_before() -> None:
    """If you change the rows on purpose, raise _ROWS_VERSION in plan.py too: results depend on these rows."""
    digest = hashlib.sha256(b"".join(copied(SMALL, name) for name in sorted(SMALL.rows)))
    assert digest.hexdigest()[:16] == "8f47aa912c7870a5"


@given(st.integers(1, 300_000), st.integers(5_000, 70_000))
def test_ranges_cover_every_id_once_and_never_mix_digit_counts(count: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "CHUNK_ROWS", chunk)
        expected = 1
        for first, last in rows._ranges(count):
            assert first == expected
            assert len(str(first)) == len(str(last))
            assert 0 <= last - first < chunk
            expected = last + 1
        assert expected == count + 1


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 101.0])
def test_a_scale_that_cannot_be_meant_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="scale"):
        SeedPlan(scale)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="seed"):
        SeedPlan(seed=-1)


@given(st.floats(1e-9, 100.0), st.integers(0, 2**63 - 1), st.sampled_from(Layout))
def test_every_plan_has_rows_and_a_template_name_that_postgres_accepts(
    scale: float, seed: int, layout: Layout
) -> None:
    plan = SeedPlan(scale, seed, layout)
    assert min(plan.rows.values()) >= 5
    assert 1 <= plan.orders_with_items <= plan.rows["orders"]
    assert len(plan.template) <= 63


def test_plans_that_differ_have_different_templates() -> None:
    plans: list[Any] = [SeedPlan(), SeedPlan(0.5), SeedPlan(seed=2), SeedPlan(layout=Layout.PUBLISHED)]
    assert len({plan.template for plan in plans}) == len(plans)
