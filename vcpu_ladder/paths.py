"""Where things are: all in the checkout, or in ``VCPU_LADDER_HOME``."""

from __future__ import annotations

import os
from pathlib import Path

HOME = Path(os.environ.get("VCPU_LADDER_HOME") or Path(__file__).resolve().parent.parent)
LADDERS = HOME / "ladders"
RESULTS = Path(os.environ.get("VCPU_LADDER_RESULTS") or HOME / "results")
PUBLISHED = HOME / "audit" / "published.toml"
REFERENCE = HOME / "results" / "reference"
K6_SCRIPTS = HOME / "k6"
DATA = HOME / ".data"
