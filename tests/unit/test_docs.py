"""What the documents say is what the registry and the committed records say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vcpu_ladder import paths
from vcpu_ladder.knobs import KNOBS
from vcpu_ladder.record import load_records
from vcpu_ladder.summary.export import knobs_table, markdown_table
from vcpu_ladder.summary.merge import merge, newest

README = paths.HOME / "README.md"


def _block(name: str, content: str, request: pytest.FixtureRequest) -> None:
    """The text between the markers must be ``content``; --update-golden writes it."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /)", re.DOTALL)
    wanted = pattern.sub(lambda match: match[1] + content + match[2], text)
    if request.config.getoption("--update-golden"):
        README.write_text(wanted, encoding="utf-8")
    assert wanted.count(content) == 1
    assert README.read_text(encoding="utf-8") == wanted, (
        f"the block {name!r} is old: run pytest --update-golden"
    )


def test_the_readmes_table_is_the_committed_records(request: pytest.FixtureRequest) -> None:
    records, complaints = load_records(paths.REFERENCE)
    assert complaints == []
    _block("reference:main", markdown_table(newest(merge(records), "main")), request)


def test_the_readmes_knobs_are_the_registry(request: pytest.FixtureRequest) -> None:
    _block("knobs", knobs_table(), request)


def test_every_knob_has_help_and_a_unit_where_it_counts() -> None:
    for knob in KNOBS.values():
        assert knob.help
        assert bool(knob.unit) == knob.numeric, knob.name


@pytest.mark.parametrize(
    "path", sorted(paths.HOME.glob("docs/**/*.md")) + [README], ids=lambda path: path.name
)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
