"""The shop's six endpoints and two refusals: expected bodies come from the upstream's published arithmetic
and from the endpoints against one another; statement counts are the same for every twin and driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.contract.delays import Profile, delay_ms, factor
from vcpu_ladder.ladder.load import MOCK_SEED
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.run.expectation import Expectation


def quick_key(profile: Profile, tag: str) -> str:
    """A key with a short delay, so that a check under the slow profile does not wait for its median."""
    return min((f"check-{tag}-{n}" for n in range(2000)), key=lambda key: delay_ms(profile, key, MOCK_SEED))


def expectations(stage: ResolvedStage) -> list[Expectation]:
    product = 1 + stage.scale.rows["products"] // 2
    user = 1 + stage.scale.rows["users"] // 2
    read_key, write_key = quick_key(stage.upstream, "read"), quick_key(stage.upstream, "write")
    basket = {"user_id": user, "items": [{"product_id": product, "quantity": 2}]}
    prices: dict[str, float] = {}

    def light(body: Any) -> bool:
        prices["unit"] = float(body["unit_price"])
        return body["id"] == product and prices["unit"] >= 0 and bool(body["title"])

    def listed(body: Any) -> bool:
        ids = [item["id"] for item in body["items"]]
        return (
            ids == list(range(product, product + len(ids)))
            and float(body["items"][0]["unit_price"]) == prices["unit"]
        )

    def sold(body: Any) -> bool:
        lines = body["by_status"]
        return (
            body["product_id"] == product
            and len(lines) > 0
            and all(
                line["lines"] >= line["buyers"] >= 1
                and line["quantity"] >= line["lines"]
                and abs(float(line["revenue"]) - line["quantity"] * prices["unit"]) < 0.02
                for line in lines
            )
        )

    def ordered(status: str, number: int) -> Callable[[Any], bool]:
        # The second write's id follows the first's only if the first was committed.
        return lambda body: (
            body["order_id"] == stage.scale.rows["orders"] + number
            and body["status"] == status
            and abs(float(body["total"]) - 2 * prices["unit"]) < 0.01
        )

    def quoted(body: Any) -> bool:
        price = prices["unit"] * factor(read_key, MOCK_SEED)
        meant = delay_ms(stage.upstream, read_key, MOCK_SEED)
        return (
            abs(float(body["quoted_price"]) - price) < 0.02 and abs(body["upstream_delay_ms"] - meant) < 0.01
        )

    missing = stage.scale.rows["products"] + 1
    expected = [
        Expectation("light_read", "GET", f"/products/{product}", None, 200, 1, 0, light),
        Expectation("list", "GET", f"/products?after={product - 1}&limit=20", None, 200, 1, 0, listed),
        Expectation("join", "GET", f"/products/{product}/sales", None, 200, 2, 0, sold),
        Expectation("write", "POST", "/orders", basket, 201, 4, 0, ordered("pending", 1)),
        Expectation(
            "upstream_read", "GET", f"/products/{product}/quote?key={read_key}", None, 200, 1, 1, quoted
        ),
        Expectation(
            "upstream_write", "POST", f"/checkout?key={write_key}", basket, 201, 4, 1, ordered("paid", 2)
        ),
        Expectation("missing", "GET", f"/products/{missing}", None, 404, 1, 0, lambda body: "detail" in body),
        Expectation("refused", "GET", "/products?limit=0", None, 422, 0, 0, lambda body: "detail" in body),
    ]
    # FastAPI runs a dependency before it refuses a request whose parameters are wrong.
    looked_up = 1 if stage.knobs["hold"] == "login" else 0
    return [replace(one, statements=one.statements + looked_up) for one in expected]
