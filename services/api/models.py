"""Request and response bodies. Prices travel as decimal strings with two places."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[int, Field(ge=1, le=2**53 - 1)]
PathId = Annotated[int, Path(ge=1, le=2**53 - 1)]
After = Annotated[int, Query(ge=0, le=2**53 - 1)]
Limit = Annotated[int, Query(ge=1, le=100)]
# Passed to the upstream, whose delay it fixes: the n-th request waits equally long in every stage.
Key = Annotated[str, Query(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]


class Product(BaseModel):
    id: int
    title: str
    unit_price: str


class ProductPage(BaseModel):
    items: list[Product]
    next_after: int | None


class SalesLine(BaseModel):
    status: str
    lines: int
    buyers: int
    quantity: int
    revenue: str


class Sales(BaseModel):
    product_id: int
    by_status: list[SalesLine]


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=100)]


class Basket(BaseModel):
    """An order as a client sends it: at most 10 items."""

    model_config = ConfigDict(extra="forbid")
    user_id: Id
    items: Annotated[list[Item], Field(min_length=1, max_length=10)]


class Order(BaseModel):
    order_id: int
    status: str
    total: str


class Quote(BaseModel):
    product_id: int
    unit_price: str
    quoted_price: str
    upstream_delay_ms: float


class Receipt(Order):
    upstream_delay_ms: float
