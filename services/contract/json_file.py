"""The file that the HTTP I/O study's second pair of endpoints reads: the same on every machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_ITEMS = 100


def content() -> dict[str, Any]:
    """About 10 KiB of JSON."""
    return {
        "items": [
            {
                "id": n,
                "title": f"item {n}",
                "price": round(n * 1.37 % 500, 2),
                "tags": ["a", "b", f"t{n % 7}"],
            }
            for n in range(1, _ITEMS + 1)
        ]
    }


def write(folder: Path) -> Path:
    """The file in ``folder``, written atomically: workers start together and write the same content."""
    path = folder / "items.json"
    own = path.with_name(f"{path.name}.{os.getpid()}")
    own.write_text(json.dumps(content()), encoding="utf-8")
    own.replace(path)
    return path
