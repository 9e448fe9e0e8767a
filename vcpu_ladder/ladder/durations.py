"""Durations as people write them: ``30s``, ``2m``, ``1m30s``, ``500ms``, or a bare number of seconds."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str | float) -> float:
    """Seconds. Raises ValueError with an example when ``text`` is not a duration."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    stripped = str(text).strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f"{text!r} is not a duration; write 30s, 2m or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def show_duration(seconds: float) -> str:
    """``1m30s`` style, whole seconds."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
