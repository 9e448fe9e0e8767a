"""How k6 is started: the same arguments and variables in every environment, except for the addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vcpu_ladder.environments.live import LiveView
from vcpu_ladder.ladder.resolve import ResolvedStage


@dataclass(frozen=True)
class Addresses:
    """Addresses and paths as k6 sees them: the service (``http://host:port``), the folder of the scripts, the
    file for its summary (``stdout`` for standard output), and ``host:port`` for its own status server.
    """

    service: str
    scripts: str
    summary: str
    status: str


@dataclass(frozen=True)
class LoadCommand:
    """What k6 is given. ``arguments`` follow the program's name; ``variables`` hold every ``LADDER_*``."""

    arguments: list[str]
    variables: dict[str, str]


def load_command(
    stage: ResolvedStage, run_id: str, variables: Mapping[str, str], live: LiveView | None, at: Addresses
) -> LoadCommand:
    """The stage's load. ``variables`` say what to request; k6 pushes to ``live`` if there is a live view."""
    return LoadCommand(
        ["run", "--quiet", "--no-usage-report", "--no-color", "--address", at.status]
        + (live.arguments(stage, run_id) if live else [])
        + [f"{at.scripts}/{stage.load.script}"],
        {
            **variables,
            **(live.variables() if live else {}),
            "LADDER_SUMMARY": at.summary,
            "LADDER_BASE_URL": at.service,
        },
    )
