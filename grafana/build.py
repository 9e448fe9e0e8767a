"""Write the dashboards' JSON: ``python -m grafana.build``. The files are committed; a test compares them.

Built with Grafana's own models, so that a misspelt key cannot be written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import bargauge, dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, VizOrientation
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
)

from grafana.panels import DASHBOARDS, Panel

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")

# Each variable offers only the values that the ones before it allow.
_VARIABLES = {
    "ladder": "ladder:run_info",
    "stage": 'ladder:run_info{ladder=~"$ladder"}',
    "run": 'ladder:run_info{ladder=~"$ladder", stage=~"$stage"}',
}
# Grafana draws consecutive samples, one step apart, as one region: from a stage's start to its end. A
# service too busy to be scraped must not split its stage, so gaps of a few seconds are bridged. With this
# step regions stay whole in ranges of up to 6 hours, because Grafana requests at most 11,000 steps.
_ANNOTATION_STEP = "2s"
_ANNOTATIONS = {
    "Stages": (
        'last_over_time(ladder:run_info{ladder=~"$ladder", stage=~"$stage", run=~"$run"}[5s])',
        "{{ladder}}/{{stage}}",
        "{{run}}",
        "blue",
    ),
    "Load": (
        'k6_vus{ladder=~"$ladder", stage=~"$stage", run=~"$run"}',
        "Load on {{ladder}}/{{stage}}",
        "{{run}}",
        "orange",
    ),
}


def render(uid: str) -> str:
    """The JSON of one dashboard, the same bytes each time."""
    title, panels = DASHBOARDS[uid]
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["vcpu-ladder"])
        .readonly()
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    for name, series in _VARIABLES.items():
        board = board.with_variable(_variable(name, series))
    for number, panel in enumerate(panels, 1):
        built = _over_time(panel) if panel.over == "time" else _over_stages(panel)
        board = board.with_panel(built.id(number))
    raw = json.loads(JSONEncoder().encode(board.build()))
    raw["annotations"] = {"list": [_annotation(name) for name in _ANNOTATIONS]}
    return json.dumps(raw, indent=1, sort_keys=True) + "\n"


def _variable(name: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _annotation(name: str) -> dict[str, Any]:
    expr, title, text, color = _ANNOTATIONS[name]
    query = AnnotationQuery(name=name, datasource=SOURCE, icon_color=color, expr=expr)
    # Keys of the Prometheus plugin, which Grafana's model of an annotation does not define.
    own = {"step": _ANNOTATION_STEP, "titleFormat": title, "textFormat": text}
    return {**json.loads(JSONEncoder().encode(query)), **own}


def _over_time(panel: Panel) -> timeseries.Panel:
    built = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.help)
        .unit(panel.unit)
        .datasource(SOURCE)
        .min(0)
        .span(12)
        .height(8)
        .legend(VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True))
    )
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        built = built.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
            .datasource(SOURCE)
        )
    return built


def _over_stages(panel: Panel) -> bargauge.Panel:
    (query,) = panel.queries
    target = prometheus.Dataquery().ref_id("A").expr(query.expr).legend_format(query.legend)
    return (
        bargauge.Panel()
        .title(panel.title)
        .description(panel.help)
        .unit(panel.unit)
        .datasource(SOURCE)
        .min(0)
        .span(8)
        .height(8)
        .orientation(VizOrientation.HORIZONTAL)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(target.instant().datasource(SOURCE))
    )


def main() -> None:
    for uid in DASHBOARDS:
        (FOLDER / f"{uid}.json").write_text(render(uid), encoding="utf-8")


if __name__ == "__main__":
    main()
