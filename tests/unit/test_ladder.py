"""What a ladder file may contain, and that everything else is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.knobs import DEFAULTS, KNOBS
from vcpu_ladder import paths
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.reader import ladders_in, load_ladder
from vcpu_ladder.ladder.resolve import resolve, resolve_all

HEAD = """
title = "a test"
climb = ["a"]
[load]
script = "shop.js"
model = "closed"
users = 10
warmup = "1s"
measure = "2s"
[data]
scale = 0.01
[baseline]
id = "a"
why = "the root"
"""


def write(folder: Path, text: str, head: str = HEAD) -> Path:
    path = folder / "test.toml"
    path.write_text(head + text)
    return path


def stage(name: str, change: str, parent: str = "a") -> str:
    return f'[stages.{name}]\nparent = "{parent}"\nchange = {{ {change} }}\nwhy = "because"\n'


@pytest.mark.parametrize("path", ladders_in(paths.LADDERS), ids=lambda path: path.stem)
def test_every_edge_of_a_committed_ladder_differs_by_exactly_its_one_knob(path: Path) -> None:
    ladder = load_ladder(path)
    resolved = resolve_all(ladder)
    for child in resolved.values():
        if child.parent is None or child.change is None:
            continue
        parent = resolved[child.parent]
        differing = {name for name in KNOBS if child.knobs[name] != parent.knobs[name]}
        assert differing == {child.change.knob}
        assert child.fingerprint != parent.fingerprint
        assert child.load_fingerprint == parent.load_fingerprint


REFUSED = {
    "second change": (
        stage("b", 'handlers = "sync", workers = 2'),
        "stage b: change: exactly one knob may change, this names handlers, workers",
    ),
    "no change": (stage("b", ""), "stage b: change: exactly one knob may change, this names nothing"),
    "unknown knob": (stage("b", "colour = 1"), "stage b: unknown knob 'colour'"),
    "unknown value": (
        stage("b", 'handlers = "magic"'),
        "stage b: handlers = 'magic' is not allowed: sync | async",
    ),
    "number out of range": (stage("b", "workers = 0"), "stage b: workers = 0 is not allowed: 1 to 32"),
    "not a number": (stage("b", 'workers = "many"'), "stage b: workers = 'many' is not allowed"),
    "cycle": (
        stage("b", "workers = 2", "c") + stage("c", "workers = 3", "b"),
        "stage b: cycle: b -> c -> b",
    ),
    "orphan": (stage("b", "workers = 2", "nobody"), "stage b: orphan: its parent 'nobody' does not exist"),
    "same value": (stage("b", "workers = 1"), "stage b: workers = 1: changes nothing"),
    "idle knob": (stage("b", "threads = 10"), "stage b: threads = 10: cannot act here"),
    "pool size without a pool": (
        stage("b", 'pool = "null"') + stage("c", "pool_size = 7", "b"),
        "stage c: pool_size = 7: cannot act here: pool = null has no size",
    ),
    "conflict": (
        stage("b", 'http_client = "aiohttp"') + stage("c", 'handlers = "sync"', "b"),
        "stage c: http_client = aiohttp: aiohttp only awaits",
    ),
    "extra key": (
        '[stages.b]\nparent = "a"\nchange = { workers = 2 }\nwhy = "x"\ncolour = 1\n',
        "stages.b.colour",
    ),
    "no reason": ('[stages.b]\nparent = "a"\nchange = { workers = 2 }\n', "stages.b.why: Field required"),
    "taken id": (stage("a", "workers = 2"), "stage a: the baseline has that id already"),
    "bad id": (stage('"B b"', "workers = 2"), "'B b' is not a stage id"),
    "own profile over the mock's": (
        "[upstream_profiles.fast]\np50_ms = 1\np99_ms = 2\n",
        "upstream_profiles.fast: that name is the mock's own",
    ),
    "not TOML": ("][", "not TOML"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_file_stage_and_key_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as refusal:
        resolve_all(load_ladder(path))
    assert str(path) in refusal.value.what
    assert message in refusal.value.what
    assert "\n" not in refusal.value.what


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('measure = "2s"', 'measure = "soon"', "load: 'soon' is not a duration"),
        ("users = 10", "users = 0", "load: users = 0 is not allowed"),
        ("scale = 0.01", "scale = 2.0", "data.scale: scale = 2.0 is not allowed"),
        ('climb = ["a"]', 'climb = ["z"]', "climb: no stage 'z'"),
        ('model = "closed"', 'model = "half"', "load.model"),
    ],
)
def test_a_bad_head_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"test\.toml") as refusal:
        load_ladder(write(tmp_path, "", HEAD.replace(old, new)))
    assert message in refusal.value.what


@pytest.mark.parametrize(
    "knobs", ['{ pool = "null", pool_size = 50 }', '{ handlers = "async", threads = 3 }']
)
def test_a_baseline_knob_that_cannot_act_is_refused(tmp_path: Path, knobs: str) -> None:
    path = write(tmp_path, f"knobs = {knobs}\n")
    with pytest.raises(UsageError, match=r"stage a: .* cannot act here"):
        resolve_all(load_ladder(path))


def test_an_own_upstream_profile_is_a_value_of_the_upstream_knob(tmp_path: Path) -> None:
    text = "[upstream_profiles.bank]\np50_ms = 10.0\np99_ms = 90.0\n" + stage("b", 'upstream = "bank"')
    resolved = resolve(load_ladder(write(tmp_path, text)), "b")
    assert (resolved.upstream.p50_ms, resolved.upstream.p99_ms) == (10, 90)


def test_a_stage_that_does_not_exist_names_the_ones_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its stages are a"):
        resolve(load_ladder(write(tmp_path, "")), "v9")


@given(
    st.sampled_from(sorted(KNOBS)), st.one_of(st.integers(), st.text(max_size=20), st.booleans(), st.none())
)
def test_a_knob_takes_what_is_allowed_and_refuses_the_rest_by_name(name: str, value: object) -> None:
    knob = KNOBS[name]
    parsed: object = None
    refusal = ""
    try:
        parsed = knob.parse(value)
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith(f"{name} = ")
    else:
        assert type(parsed) is type(knob.default)
        assert knob.parse(str(parsed)) == parsed


def test_every_default_is_allowed() -> None:
    assert {name: KNOBS[name].parse(value) for name, value in DEFAULTS.items()} == DEFAULTS


@pytest.mark.parametrize("name", ["reference", "climbs"])
def test_a_ladder_cannot_have_the_name_of_another_folder_of_the_results(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text((paths.LADDERS / "main.toml").read_text())
    with pytest.raises(UsageError, match=f"results/{name} is no ladder's folder"):
        load_ladder(path)
