"""The labels by which the live view tells runs apart."""

from __future__ import annotations

# Label of the live view: the variable that an environment sets it by.
RUN_LABELS = {"ladder": "API_RUN_LADDER", "stage": "API_RUN_STAGE", "run": "API_RUN_ID"}
