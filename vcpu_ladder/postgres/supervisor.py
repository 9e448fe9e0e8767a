"""Holds one PostgreSQL server, so that it ends with its runner: ``supervisor.py --cpus 1 -- postgres ...``.

The runner keeps the other end of this process's standard input open and never writes to it. When the
runner ends, however it ends, the read returns and the server is stopped cleanly (SIGINT, PostgreSQL's
fast shutdown). SIGTERM does the same. If this process itself is killed, the kernel sends the server
that same SIGINT. The exit status is the server's, or 128 + N for signal N.

Not ``environments/native/leash.py``: its SIGTERM would make PostgreSQL wait for its clients, and its early
SIGKILL would force a crash recovery. Run as a file by a bare interpreter, standard library only.
"""

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1


def _prepare_child(cpus: list[int], parent: int) -> None:
    # Runs after the change of user, because that clears the death signal.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)


def _stop(server: "subprocess.Popen[bytes]", grace_s: float) -> None:
    # Fast, then immediate shutdown: it also ends the server's own children, which SIGKILL would not.
    # The second is needed: 18.6 hangs if the first reaches it during crash recovery.
    for number, wait_s in ((signal.SIGINT, grace_s), (signal.SIGQUIT, 10.0), (signal.SIGKILL, None)):
        if server.poll() is None:
            server.send_signal(number)
        try:
            server.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            continue
        return


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", default="")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--grace", type=float, default=30.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    cpus = [int(cpu) for cpu in options.cpus.split(",") if cpu]
    drop = {} if options.uid is None else {"user": options.uid, "group": options.gid, "extra_groups": []}

    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)

    parent = os.getpid()
    try:
        server = subprocess.Popen(
            options.command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            umask=0o077,
            preexec_fn=lambda: _prepare_child(cpus, parent),
            **drop,
        )
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while server.poll() is None:
        readable, _, _ = select.select([0, wake_read], [], [])
        if 0 in readable:
            break  # end of file: the runner is gone
        if wake_read in readable and set(os.read(wake_read, 512)) & {signal.SIGTERM, signal.SIGINT}:
            break
    _stop(server, options.grace)
    code = server.returncode
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
