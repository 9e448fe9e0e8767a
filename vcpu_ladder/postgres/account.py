"""Which user runs the server. PostgreSQL refuses to run as root, so root's server runs as ``nobody``."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from vcpu_ladder.errors import EnvironmentNotReady

ROOTS_STAND_IN = "nobody"


@dataclass(frozen=True)
class Account:
    """A user to drop to, with no group but its own."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def check_reach(self, path: Path) -> None:
        """Check that every directory above ``path``, and ``path`` itself, may be entered (a file: executed).

        Raises EnvironmentNotReady naming the first that may not: typically for a checkout below /root.
        """
        path = path.resolve()
        for step in [*reversed(path.parents), path]:
            facts = step.stat()
            bit = stat.S_IXOTH
            if facts.st_uid == self.uid:
                bit = stat.S_IXUSR
            elif facts.st_gid == self.gid:
                bit = stat.S_IXGRP
            if not facts.st_mode & bit:
                raise EnvironmentNotReady(
                    f"root's PostgreSQL runs as user {self.name}, and {self.name} cannot reach {path}",
                    f"{step} has mode {stat.filemode(facts.st_mode)}, owner uid {facts.st_uid}",
                    f"chmod o+x {shlex.quote(str(step))}  # or move the checkout, or run as an ordinary user",
                )


def server_account() -> Account | None:
    """The user to run the server as if we are root; None for an ordinary user, who runs it directly."""
    import pwd  # imported here: Windows lacks it, and must still be able to read records

    if os.geteuid() != 0:
        return None

    try:
        entry = pwd.getpwnam(ROOTS_STAND_IN)
    except KeyError:
        raise EnvironmentNotReady(
            f"PostgreSQL does not run as root, and there is no user {ROOTS_STAND_IN} to run it as",
            next_command="run as an ordinary user, or set DATABASE_URL to a server of yours",
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
