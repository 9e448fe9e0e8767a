"""``python -m benchmarks.seed``: the published SQL on a default server, then our seed; about 13 minutes.

Published: from its first statement to the commit of its last, on a running server that keeps PostgreSQL's
defaults. Ours: from starting a stopped server to the seed verified, checkpointed, and found again after a
restart with production settings. Neither includes making the empty cluster. Then the structures of both
results are compared. The last line is ``seed_vs_published ratio=<published / ours> seconds=<ours>``, where
ours is the median of its repeats. Needs 6 GB of disk and a quiet machine.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.seed.catalog import structure
from benchmarks.seed.published import SCHEMA, inserts
from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, err, out
from vcpu_ladder.errors import LadderError
from vcpu_ladder.postgres.connect import Connection, one, session
from vcpu_ladder.postgres.plan import Layout, SeedPlan
from vcpu_ladder.postgres.restore import RUN_DATABASE, restore
from vcpu_ladder.postgres.seed import seed_native
from vcpu_ladder.postgres.server import NativeServer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _timed(connection: Connection, statement: str) -> float:
    begun = time.monotonic()
    connection.execute(statement.encode())
    return time.monotonic() - begun


def published(home: Path, port: int, scale: float) -> tuple[float, dict[str, str]]:
    """Seconds of the published SQL on a default server, and the structure it leaves."""
    defaults = home.with_name("defaults.conf")
    defaults.write_text("# PostgreSQL's own defaults.\n")
    with NativeServer.start(home, port, defaults) as server, session(server.url()) as connection:
        total = sum(_timed(connection, statement) for statement in SCHEMA)
        for table, statement in inserts(scale).items():
            seconds = _timed(connection, statement)
            total += seconds
            err.print(f"published {table}: {seconds:.1f} s", highlight=False)
        return total, structure(connection)


def ours(home: Path, port: int, plan: SeedPlan) -> float:
    """Seconds of one seed; from the second on they include dropping the previous one."""
    report = seed_native(home, port, plan, lambda _: None, anew=True)
    longest = sorted(report.steps.items(), key=lambda step: -step[1])[:5]
    steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in longest)
    err.print(f"ours: {report.seconds:.1f} s; longest: {steps}", highlight=False, soft_wrap=True)
    return report.seconds


def check_same(home: Path, port: int, plan: SeedPlan, wanted: dict[str, str]) -> None:
    """Compare the structure with the published one, and time the copies that runs will make."""
    with NativeServer.start(home, port) as server:
        reports = [restore(server, plan) for _ in range(3)]
        seconds = ", ".join(f"{report.seconds:.1f}" for report in reports)
        out.print(f"restore: {seconds} s ({reports[0].method})", highlight=False)
        with session(server.url(RUN_DATABASE)) as connection:
            found = structure(connection)
            size = one(connection, "SELECT pg_size_pretty(pg_database_size(current_database()))")[0]
    different = sorted(item for item in wanted.keys() | found.keys() if wanted.get(item) != found.get(item))
    if different:
        raise LadderError(
            "our seed's structure differs from the published one",
            "\n".join(f"{item}: published {wanted.get(item)}, ours {found.get(item)}" for item in different),
        )
    out.print(f"structure: the same {len(found)} definitions; {size}", highlight=False)


@app.command()
@ends_well
def main(
    scale: Annotated[float, typer.Option(help="Share of the published size.")] = 1.0,
    repeats: Annotated[
        int, typer.Option(min=1, help="Repeats of our seed; the published one runs once.")
    ] = 3,
    port: Annotated[int, typer.Option(help="For the servers, on 127.0.0.1.")] = 15433,
    folder: Annotated[
        Path, typer.Option(help="Where to make a temporary directory for the data.")
    ] = paths.DATA,
) -> None:
    """Time the published seed and ours, in one session."""
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="seed-benchmark-", dir=folder))
    work.chmod(0o711)  # the server's user must be able to pass through
    plan = SeedPlan(scale=scale, layout=Layout.SPREAD)
    try:
        for name in ("published", "ours"):  # the empty clusters, made outside the timing
            NativeServer.start(work / name, port).stop()
        published_s, wanted = published(work / "published", port, scale)
        shutil.rmtree(work / "published")
        seconds = [ours(work / "ours", port, plan) for _ in range(repeats)]
        check_same(work / "ours", port, plan, wanted)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    ours_s = statistics.median(seconds)
    out.print(f"published: {published_s:.1f} s", highlight=False)
    out.print(f"seed_vs_published ratio={published_s / ours_s:.1f} seconds={ours_s:.1f}", highlight=False)


if __name__ == "__main__":
    app()
