"""Holds one process of a run, so that nothing outlives its runner: ``leash.py --cpus 1 --grace 2 -- CMD``.

The runner keeps the other end of this process's standard input open and never writes to it. When the
runner ends, however it ends, the read returns and the leash ends the command and all its descendants.
It does the same on SIGTERM, and when the command itself ends and leaves workers behind. The exit status
is the command's, or 128 + N for signal N.

Run as a file by a bare interpreter, not imported: standard library only, no imports from this package.
"""

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _prepare_child(cpus: list[int]) -> None:
    # If the leash itself is killed, the kernel ends the command.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if cpus:
        os.sched_setaffinity(0, cpus)


def _end_group(group: int, grace_s: float, child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    child.wait()
    # Descendants that left the group (a subreaper inherits them) are ended too.
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                for orphan in _children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(orphan, signal.SIGKILL)
                time.sleep(0.01)


def _children() -> list[int]:
    path = f"/proc/self/task/{os.getpid()}/children"
    try:
        with open(path) as file:  # noqa: PTH123 - keeps the imports of this small process few
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", default="")
    parser.add_argument("--grace", type=float, default=2.0)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    cpus = [int(cpu) for cpu in options.cpus.split(",") if cpu]
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)

    try:
        child = subprocess.Popen(
            options.command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: _prepare_child(cpus),
        )
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    while child.poll() is None:
        readable, _, _ = select.select([0, wake_read], [], [])
        if 0 in readable:
            break  # end of file: the runner is gone
        if wake_read in readable and set(os.read(wake_read, 512)) & {signal.SIGTERM, signal.SIGINT}:
            break
    own_end = child.poll()
    _end_group(child.pid, options.grace if own_end is None else 0.0, child)
    code = child.returncode if own_end is None else own_end
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
