"""The labels that distinguish runs in the live view."""

from __future__ import annotations

# {label of the live view: the variable by which an environment sets it}
RUN_LABELS = {"ladder": "API_RUN_LADDER", "stage": "API_RUN_STAGE", "run": "API_RUN_ID"}
