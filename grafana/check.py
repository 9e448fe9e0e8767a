"""Test the dashboards: ``python -m grafana.check [--prometheus URL] [--without cgroup ...]``.

Checks each file against Grafana's own model of a dashboard, each datasource uid against the provisioned ones
and, given a Prometheus that watches a run or has just watched one, each query of each panel, variable and
annotation. Queries without data are named. Exit codes: 0 all well, 1 a dashboard is wrong or a panel empty,
2 usage, 3 no Prometheus answers.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import httpx
import yaml

from grafana.panels import DASHBOARDS, Needs
from grafana.schema import schema_faults

HOME = Path(__file__).parent
NEEDS = tuple(word for word in get_args(Needs) if word)
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Asked:
    """One query of a dashboard. ``where`` is for people; ``kind`` is the kind of query."""

    where: str
    expr: str
    kind: str  # range | instant | values
    needs: Needs = ""


def load(folder: Path = HOME / "dashboards") -> dict[str, dict[str, Any]]:
    """{file name: dashboard}, by name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def provisioned_uids(folder: Path = HOME / "provisioning" / "datasources") -> set[str]:
    sources = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("*.yml")]
    return {source["uid"] for content in sources for source in content["datasources"]}


def unresolved(raw: Any, uids: set[str], path: str = "") -> list[str]:
    """Every place that names an unprovisioned datasource, or that names none but must."""
    if isinstance(raw, list):
        return [fault for i, one in enumerate(raw) for fault in unresolved(one, uids, f"{path}[{i}]")]
    if not isinstance(raw, dict):
        return []
    faults = [fault for key, value in raw.items() for fault in unresolved(value, uids, f"{path}.{key}")]
    if "expr" in raw or "targets" in raw or ("query" in raw and "type" in raw):
        uid = (raw.get("datasource") or {}).get("uid")
        if uid not in uids:
            faults.append(f"{path}: datasource {uid!r} is not provisioned: {', '.join(sorted(uids))}")
    return faults


def queries(raw: dict[str, Any]) -> list[Asked]:
    """Every query of the dashboard, its variables replaced as "All" does."""
    needs = {query.expr: query.needs for panel in DASHBOARDS[raw["uid"]][1] for query in panel.queries}
    title = raw["title"]
    asked = [
        Asked(
            f"{title} / {panel['title']} / {target['legendFormat']}",
            _filled(target["expr"]),
            "instant" if target.get("instant") else "range",
            needs.get(target["expr"], ""),
        )
        for panel in raw["panels"]
        for target in panel["targets"]
    ]
    for annotation in raw["annotations"]["list"]:
        where = f"{title} / annotation {annotation['name']}"
        asked.append(Asked(where, _filled(annotation["expr"]), "range"))
    for variable in raw["templating"]["list"]:
        series = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        if series is None:
            raise ValueError(f"{title} / variable {variable['name']}: not a label_values query")
        where = f"{title} / variable {variable['name']}"
        asked.append(Asked(where, f"count by ({series[2]}) ({_filled(series[1])})", "range"))
    return asked


def _filled(expr: str) -> str:
    filled = re.sub(r"\$(ladder|stage|run)\b", ".*", expr).replace("$__range", "{range}")
    if "$" in filled:
        raise ValueError(f"unknown variable in {expr}")
    return filled


def has_data(prometheus: httpx.Client, asked: Asked, since_s: int) -> bool:
    """Whether any series has a finite value in the last ``since_s`` seconds; the client's base is Prometheus.

    Raises httpx.HTTPError when Prometheus does not answer, ValueError when it refuses the query.
    """
    now = time.time()
    expr = asked.expr.replace("{range}", f"{since_s}s")
    if asked.kind == "instant":
        path, when = "query", {"time": f"{now}"}
    else:
        path, when = "query_range", {"start": f"{now - since_s}", "end": f"{now}", "step": "1"}
    answer = prometheus.post(f"/api/v1/{path}", data={"query": expr, **when}).json()
    if answer["status"] != "success":
        raise ValueError(f"{asked.where}: {answer['error']}")
    return any(
        math.isfinite(float(value))
        for series in answer["data"]["result"]
        for _, value in series.get("values", [series.get("value")])
    )


def faults_of_files() -> list[str]:
    """What is wrong with the files alone."""
    uids, faults = provisioned_uids(), []
    for name, raw in load().items():
        faults += [f"{name}: {fault}" for fault in (*schema_faults(raw), *unresolved(raw, uids))]
    return faults


def _ask_all(prometheus: httpx.Client, without: Sequence[str], since_s: int) -> list[str]:
    """Print a line per query. Returns those that should have data and have none."""
    empty = []
    for raw in load().values():
        for asked in queries(raw):
            found = has_data(prometheus, asked, since_s)
            excused = not found and asked.needs in without
            word = "data" if found else (f"none, as there is no {asked.needs}" if excused else "NO DATA")
            print(f"{word:<10} {asked.where}")
            if not found and not excused:
                empty.append(f"no data: {asked.where}: {asked.expr}")
    return empty


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m grafana.check", description="Try the dashboards.")
    parser.add_argument("--prometheus", metavar="URL", help="ask this Prometheus; without it only the files")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=NEEDS,
        help="what is absent, so that its queries may be empty",
    )
    parser.add_argument(
        "--since", type=int, default=120, metavar="S", help="look for data this many seconds back (120)"
    )
    options = parser.parse_args(arguments)
    faults = faults_of_files()
    if options.prometheus and not faults:
        try:
            with httpx.Client(base_url=options.prometheus, timeout=_TIMEOUT_S, trust_env=False) as client:
                faults = _ask_all(client, options.without, options.since)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            print(f"error: no Prometheus answers at {options.prometheus}: {error}", file=sys.stderr)
            return 3
        except ValueError as error:
            faults = [str(error)]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
