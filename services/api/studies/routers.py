"""The table of studies: name to module. Only the study of the stage's endpoint is imported and made, so that
the shop does not load what the studies need (polars alone is tens of megabytes).
"""

from __future__ import annotations

from importlib import import_module

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.study import Study
from services.contract.endpoints import ENDPOINTS, SHOP

# Each module has ``make_study(settings, meter) -> Study``.
STUDIES: dict[str, str] = {
    "http-io": "services.api.studies.http_io",
    "select": "services.api.studies.select",
    "simulation": "services.api.studies.simulation",
    "sleep": "services.api.studies.sleep",
    "tasks": "services.api.studies.tasks",
}


def study_of(settings: Settings, meter: Meter) -> Study | None:
    """The study whose path the knob ``endpoint`` names; None for the shop."""
    path = settings.word("endpoint")
    if path == SHOP:
        return None
    made: Study = import_module(STUDIES[ENDPOINTS[path].study]).make_study(settings, meter)
    return made
