"""The process: listen, sweep once a second, stop promptly when told to."""

import asyncio
import gc
import resource
import signal
import sys
from typing import Final

import uvloop

from services.mock.connection import Connection
from services.mock.settings import Settings
from services.mock.shared import Shared
from services.mock.timers import Timers, alarm_for

_BACKLOG: Final = 4_096
_SWEEP_EVERY_S: Final = 5


class ListenError(OSError):
    """Cannot listen on the address; the message is one line."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ListenError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    shared = Shared(settings, Timers(alarm_for(loop)))
    try:
        server = await loop.create_server(
            lambda: Connection(shared), settings.host, settings.port, backlog=_BACKLOG
        )
    except OSError as error:
        raise ListenError(f"cannot listen on {settings.host}:{settings.port}: {error}") from error
    # A full garbage collection over 5,000 connections takes longer than the timer error we promise. Requests
    # create no reference cycles, so the sweeper collects when nothing is parked instead.
    gc.collect()
    gc.freeze()
    gc.disable()
    _announce(settings, server.sockets[0].getsockname()[1])
    sweeper = asyncio.create_task(_sweep(shared))
    await stop.wait()
    sweeper.cancel()
    server.close()
    for connection in tuple(shared.connections):
        connection.abort()
    await asyncio.sleep(0)  # lets the transports close


async def _sweep(shared: Shared) -> None:
    while True:
        await asyncio.sleep(1)
        shared.tick()
        if shared.seconds % _SWEEP_EVERY_S == 0:
            for connection in tuple(shared.connections):
                connection.expire()
            if not shared.recorder.in_flight:
                gc.collect()


def _announce(settings: Settings, port: int) -> None:
    profile = settings.profile
    print(
        f"mock: listening on {settings.host}:{port}, profile {settings.profile_name} "
        f"(P50 {profile.p50_ms:g} ms, P99 {profile.p99_ms:g} ms), seed {settings.seed}",
        file=sys.stderr,
        flush=True,
    )
