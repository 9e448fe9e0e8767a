"""The table of studies: name to what makes it. Only the study of the stage's endpoint is made."""

from __future__ import annotations

from collections.abc import Callable

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.catalog import ENDPOINTS, SHOP
from services.api.studies.http_io import http_io_study
from services.api.studies.sleep import sleep_study
from services.api.studies.study import Study
from services.api.studies.tasks import tasks_study

STUDIES: dict[str, Callable[[Settings, Meter], Study]] = {
    "http-io": http_io_study,
    "tasks": lambda settings, meter: tasks_study(settings),
    "sleep": lambda settings, meter: sleep_study(),
}


def study_of(settings: Settings, meter: Meter) -> Study | None:
    """The study whose path the knob ``endpoint`` names; None on the shop."""
    path = settings.word("endpoint")
    return None if path == SHOP else STUDIES[ENDPOINTS[path].study](settings, meter)
