"""The mock's settings: where they come from and how they are refused."""

import pytest

from services.contract.delays import PROFILES, Profile
from services.mock.settings import CUSTOM, Settings, SettingsError, read_settings


def test_defaults() -> None:
    assert read_settings([], {}) == Settings("127.0.0.1", 9100, "fast", PROFILES["fast"], 1)


def test_options_win_over_the_environment_and_empty_variables_are_unset() -> None:
    env = {
        "MOCK_HOST": "0.0.0.0",
        "MOCK_PORT": "1",
        "MOCK_PROFILE": "slow",
        "MOCK_P50_MS": "",
        "MOCK_SEED": "5",
    }
    assert read_settings(["--port", "2"], env) == Settings("0.0.0.0", 2, "slow", PROFILES["slow"], 5)


def test_a_profile_on_the_command_line_replaces_the_whole_one_of_the_environment() -> None:
    env = {"MOCK_P50_MS": "3", "MOCK_P99_MS": "4.5"}
    assert read_settings([], env).profile == Profile(3, 4.5)
    assert read_settings([], env).profile_name == CUSTOM
    assert read_settings(["--profile", "slow"], env).profile == PROFILES["slow"]


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["--port", "65536"], "port"),
        (["--port", "-1"], "port"),
        (["--port", "x"], "port"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(2**63)], "seed"),
        (["--profile", "medium"], "profile"),
        (["--profile", "fast", "--p50-ms", "1", "--p99-ms", "2"], "profile"),
        (["--p50-ms", "1"], "p99-ms"),
        (["--p50-ms", "one", "--p99-ms", "2"], "p50-ms"),
        (["--p50-ms", "2", "--p99-ms", "1"], "P50"),
        (["--p50-ms", "nan", "--p99-ms", "nan"], "P50"),
        (["--prof", "fast"], "--prof"),
        (["extra"], "extra"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(argv: list[str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        read_settings(argv, {})
    assert "\n" not in str(caught.value)
