"""The mock's settings: options first, then `MOCK_*` variables, then defaults."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from services.contract.delays import PROFILES, Profile

CUSTOM: Final = "custom"
"""The profile name reported when P50 and P99 were given as numbers."""

_MAX_SEED: Final = 2**63 - 1


class SettingsError(ValueError):
    """A setting that is not allowed; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The process's settings. Port 0 lets the kernel choose; the start line reports the port."""

    host: str
    port: int
    profile_name: str
    profile: Profile
    seed: int


class _Parser(argparse.ArgumentParser):
    """Raises errors as exceptions: argparse would print its usage around the one line that matters."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def read_settings(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Settings from options and environment; an empty variable counts as unset (compose passes those).

    Raises SettingsError. `--help` prints and raises SystemExit, as argparse does.
    """
    options: dict[str, str | None] = vars(_parser().parse_args(argv))
    delay_options = ("profile", "p50_ms", "p99_ms")
    # A profile given on the command line replaces the environment's settings as a whole: mixing the two
    # would reject `--profile slow` in a shell that exports MOCK_P50_MS.
    said = any(options[name] is not None for name in delay_options)

    def value(name: str) -> str | None:
        if options[name] is not None or (said and name in delay_options):
            return options[name]
        return env.get(f"MOCK_{name.upper()}") or None

    profile_name, profile = _profile(value("profile"), value("p50_ms"), value("p99_ms"))
    return Settings(
        host=value("host") or "127.0.0.1",
        port=_whole("port", value("port") or "9100", 65_535),
        profile_name=profile_name,
        profile=profile,
        seed=_whole("seed", value("seed") or "1", _MAX_SEED),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m services.mock",
        description="The delayed upstream: answers after a lognormal delay, or after ?waitms=N.",
        epilog="Each option is also read from MOCK_HOST, MOCK_PORT, MOCK_PROFILE, MOCK_P50_MS, MOCK_P99_MS, "
        "MOCK_SEED. Exit codes: 0 stopped by SIGTERM or SIGINT, 2 invalid settings, 3 cannot listen.",
        allow_abbrev=False,
    )
    profiles = "; ".join(f"{name}: P50 {p.p50_ms:g} ms, P99 {p.p99_ms:g} ms" for name, p in PROFILES.items())
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", help="TCP port, 0 for any free one (default 9100)")
    parser.add_argument("--profile", help=f"named delays (default fast). {profiles}")
    parser.add_argument("--p50-ms", help="median delay, with --p99-ms instead of --profile")
    parser.add_argument("--p99-ms", help="99th percentile of the delay")
    parser.add_argument("--seed", help="fixes the delay of every key (default 1)")
    return parser


def _profile(name: str | None, p50: str | None, p99: str | None) -> tuple[str, Profile]:
    if p50 is None and p99 is None:
        name = name or "fast"
        if name not in PROFILES:
            raise SettingsError(f"profile: {name!r} is none of {', '.join(PROFILES)}")
        return name, PROFILES[name]
    if name is not None:
        raise SettingsError("profile: give either a profile or p50-ms and p99-ms, not both")
    if p50 is None or p99 is None:
        raise SettingsError("p50-ms and p99-ms: one needs the other")
    try:
        return CUSTOM, Profile(_number("p50-ms", p50), _number("p99-ms", p99))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a number of milliseconds") from None


def _whole(name: str, text: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= highest):
        raise SettingsError(f"{name}: {text!r} is not a whole number from 0 to {highest}")
    return int(text)
