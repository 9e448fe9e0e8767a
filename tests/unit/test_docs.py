"""What the documents say is what the registry and the committed records say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from services.contract.knobs import KNOBS
from tests import needs
from tests.factory import figures, record
from vcpu_ladder import paths
from vcpu_ladder.commands.documents import rewrite
from vcpu_ladder.environments.machine import source_facts
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.records.key import acting, workload_of
from vcpu_ladder.records.store import load_records
from vcpu_ladder.replicate.plan import published_ladders
from vcpu_ladder.summary.merge import merge, newest

README = paths.HOME / "README.md"
DOCUMENTS = [README, *sorted(paths.HOME.glob("docs/**/*.md"))]
RECORDS = [
    record(name, rps, repeat) for repeat in range(3) for name, rps in (("v1", 10.0), ("v2", 300.0 + repeat))
]


def test_every_figure_is_the_committed_records() -> None:
    records, complaints = load_records(paths.REFERENCE)
    assert complaints == []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert rewrite(text, records) == text, f"{path.name}: run vcpu-ladder documents"


def test_the_readme_shows_the_whole_main_ladder() -> None:
    rows = [line.split("|")[1].strip() for line in README.read_text().splitlines() if line.startswith("| v")]
    assert [row for row in rows if row in load_ladder(paths.LADDERS / "main.toml").stages] == list(
        load_ladder(paths.LADDERS / "main.toml").stages
    )


def test_a_table_of_measured_figures_names_the_key_of_its_records() -> None:
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        named = {name for names in re.findall(r"figure: key ([^>]*) -->", text) for name in names.split()}
        shown = set(re.findall(r"figure: (?:table|curve) (\S+)", text))
        if "figure: replication" in text:
            shown |= {ladder.name for ladder in published_ladders(paths.LADDERS)}
        assert shown <= named, path.name


@pytest.mark.parametrize("ladder", sorted(path.stem for path in paths.LADDERS.glob("*.toml")))
def test_the_records_shown_are_of_todays_source(ladder: str) -> None:
    """Not a failure, because measuring again takes hours: the skip says what differs."""
    rows = [row for row in newest(merge(load_records(paths.REFERENCE)[0])) if row.ladder == ladder]
    if not rows:
        pytest.skip(f"{needs.OLD_RECORDS}: {ladder} has none yet")
    key = rows[0].key
    today = replace(
        key,
        workload=workload_of(source_facts(), key.environment),
        parts=tuple(sorted(acting(source_facts()["parts"], key.environment).items())),
    )
    if key != today:
        pytest.skip(f"{needs.OLD_RECORDS}: {ladder}: {key.differences(today)}")


def test_a_key_is_written_for_one_ladder_or_in_a_list_for_several() -> None:
    line = "Environment native, host aaaaaaaaaaaa, platform "
    one = rewrite("<!-- figure: key main --><!-- end -->", RECORDS)
    assert f"-->{line}" in one
    two = rewrite("<!-- figure: key main main --><!-- end -->", RECORDS)
    assert two.count(f"\n- main: {line}") == 2


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_a_figure_is_written_between_its_markers_and_nowhere_else() -> None:
    text = "v2 is <!-- figure: ratio main/v2 main/v1 -->× 41<!-- end --> of v1, said 41 times."
    assert rewrite(text, RECORDS) == (
        "v2 is <!-- figure: ratio main/v2 main/v1 -->× 30.10 (29.85–30.35)<!-- end --> of v1, said 41 times."
    )


def test_a_rate_of_all_that_ended_says_how_it_failed() -> None:
    failed = [record("v2", 300.0, figures=figures(300.0, 90))]
    text = "<!-- figure: ended main/v2 --><!-- end --> <!-- figure: ended main/v1 --><!-- end -->"
    written = rewrite(text, [*failed, record("v1", 10.0)])
    assert ">303 (503 90)<" in written
    assert ">10 (none failed)<" in written


@pytest.mark.parametrize("figure", ["ratio main/v2 main/v9", "rps main/v9", "colour main/v2", "rps"])
def test_a_figure_the_records_lack_is_refused(figure: str) -> None:
    with pytest.raises(UsageError, match="not in the records"):
        rewrite(f"<!-- figure: {figure} -->1<!-- end -->", RECORDS)


def test_every_knob_has_help_and_a_unit_where_it_counts() -> None:
    for knob in KNOBS.values():
        assert knob.help
        assert bool(knob.unit) == knob.numeric, knob.name
