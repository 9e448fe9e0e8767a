"""The shop's six endpoints and two refusals. Expected bodies are computed from the upstream's published
arithmetic and from one another's answers; statement counts are the same for every twin and driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from services.contract.delays import MOCK_SEED, Profile, delay_ms, factor
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.run.expectation import Expectation


def quick_key(profile: Profile, tag: str) -> str:
    """A key with a short delay, so that a check under the slow profile does not take its median delay."""
    return min((f"check-{tag}-{n}" for n in range(2000)), key=lambda key: delay_ms(profile, key, MOCK_SEED))


@dataclass
class _Shop:
    """What the checks of one stage request, and the price from an earlier answer that later ones need."""

    stage: ResolvedStage
    unit_price: float = 0.0

    @property
    def product(self) -> int:
        return 1 + self.stage.scale.rows["products"] // 2

    @property
    def basket(self) -> dict[str, Any]:
        user = 1 + self.stage.scale.rows["users"] // 2
        return {"user_id": user, "items": [{"product_id": self.product, "quantity": 2}]}

    @cached_property
    def read_key(self) -> str:
        return quick_key(self.stage.upstream, "read")

    @cached_property
    def write_key(self) -> str:
        return quick_key(self.stage.upstream, "write")

    def light(self, body: Any) -> bool:
        self.unit_price = float(body["unit_price"])
        return body["id"] == self.product and self.unit_price >= 0 and bool(body["title"])

    def listed(self, body: Any) -> bool:
        ids = [item["id"] for item in body["items"]]
        return (
            ids == list(range(self.product, self.product + len(ids)))
            and float(body["items"][0]["unit_price"]) == self.unit_price
        )

    def sold(self, body: Any) -> bool:
        lines = body["by_status"]
        return (
            body["product_id"] == self.product
            and len(lines) > 0
            and all(
                line["lines"] >= line["buyers"] >= 1
                and line["quantity"] >= line["lines"]
                and abs(float(line["revenue"]) - line["quantity"] * self.unit_price) < 0.02
                for line in lines
            )
        )

    def ordered(self, status: str, number: int) -> Callable[[Any], bool]:
        # The second write's id follows the first's only if the first was committed.
        return lambda body: (
            body["order_id"] == self.stage.scale.rows["orders"] + number
            and body["status"] == status
            and abs(float(body["total"]) - 2 * self.unit_price) < 0.01
        )

    def quoted(self, body: Any) -> bool:
        price = self.unit_price * factor(self.read_key, MOCK_SEED)
        meant = delay_ms(self.stage.upstream, self.read_key, MOCK_SEED)
        return (
            abs(float(body["quoted_price"]) - price) < 0.02 and abs(body["upstream_delay_ms"] - meant) < 0.01
        )


def _refused(body: Any) -> bool:
    return "detail" in body


def expectations(stage: ResolvedStage) -> list[Expectation]:
    shop = _Shop(stage)
    product, missing = shop.product, stage.scale.rows["products"] + 1
    quote, checkout = f"/products/{product}/quote?key={shop.read_key}", f"/checkout?key={shop.write_key}"
    expected = [
        Expectation("light_read", "GET", f"/products/{product}", None, 200, 1, 0, shop.light),
        Expectation("list", "GET", f"/products?after={product - 1}&limit=20", None, 200, 1, 0, shop.listed),
        Expectation("join", "GET", f"/products/{product}/sales", None, 200, 2, 0, shop.sold),
        Expectation("write", "POST", "/orders", shop.basket, 201, 4, 0, shop.ordered("pending", 1)),
        Expectation("upstream_read", "GET", quote, None, 200, 1, 1, shop.quoted),
        Expectation("upstream_write", "POST", checkout, shop.basket, 201, 4, 1, shop.ordered("paid", 2)),
        Expectation("missing", "GET", f"/products/{missing}", None, 404, 1, 0, _refused),
        Expectation("refused", "GET", "/products?limit=0", None, 422, 0, 0, _refused),
    ]
    # FastAPI runs a dependency before it refuses a request whose parameters are wrong.
    looked_up = 1 if stage.knobs["hold"] == "login" else 0
    return [replace(one, statements=one.statements + looked_up) for one in expected]
