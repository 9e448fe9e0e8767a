"""Source files without what has no effect: location, layout, comments. One function per kind of file.

Each returns lines: two files with the same lines do the same, as far as that can be told cheaply.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

_OWN = ("services", "vcpu_ladder")
# Services of compose.yaml that no run starts.
_BESIDE = ("prometheus", "grafana", "postgres-exporter", "prometheus-data", "grafana-data")


def python(text: str) -> list[str]:
    """The parsed form without docstrings. Imports are sorted, ours by name only: our modules may move."""
    imports: set[str] = set()
    body = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.update(_imported(node))
        elif not _is_docstring(node):
            body.append(_shown(node))
    return [*sorted(imports - {"__future__ annotations"}), *body]


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        whole = f"{module} {alias.name}".strip()
        if whole.split(".")[0].split(" ")[0] in _OWN:
            whole = alias.name.rpartition(".")[2]
        yield whole if alias.asname is None else f"{whole} as {alias.asname}"


def _is_docstring(node: object) -> bool:
    # Any bare string: those below a constant or a field are documentation too.
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _shown(node: object) -> str:
    """As ``ast.dump``, but the same in every version of Python: without empty fields, kinds and positions."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return f"Import({sorted(_imported(node))})"
    if isinstance(node, list):
        return "[" + ",".join(_shown(one) for one in node if not _is_docstring(one)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (
        f"{name}={_shown(value)}"
        for name, value in ast.iter_fields(node)
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment")
    )
    return f"{type(node).__name__}({','.join(fields)})"


def javascript(text: str) -> list[str]:
    """Lines without indentation, blank lines and comments.

    A comment behind code stays where the code has a quote before it: ``//`` may then be part of a text.
    """
    text = re.sub(r"^[ \t]*/\*.*?\*/[ \t]*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^([^'\"`\n]*?)(?:^|[ \t])//[^\n]*$", r"\1", text, flags=re.MULTILINE)
    return _stripped(text)


def sql(text: str) -> list[str]:
    """Statements, one per line. Our files have no semicolon or ``--`` inside literals."""
    text = re.sub(r"--[^\n]*", "", text)
    return [" ".join(part.split()) for part in text.split(";") if part.strip()]


def conf(text: str) -> list[str]:
    return sorted(" ".join(line.split()) for line in _uncommented(text))


def dockerfile(text: str) -> list[str]:
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [" ".join(line.split()) for line in _stripped(text.replace("\\\n", " "))]


def requirements(text: str) -> list[str]:
    """``name==version`` and its marker, sorted. Hashes are left out: they follow from name and version."""
    text = re.sub(r"\s--hash=\S+", "", text.replace("\\\n", " "))
    return sorted(" ".join(line.split()) for line in _uncommented(text))


def compose(text: str) -> list[str]:
    """Every value by its path, sorted, without comments and without services that no run starts. Parsed by
    indentation and without a library: it only has to work for our own file.
    """
    found, above = [], list[tuple[int, str]]()
    counts: dict[tuple[str, ...], int] = {}
    for line in _uncommented(text):
        indent, said = len(line) - len(line.lstrip()), line.strip()
        while above and above[-1][0] >= indent:
            above.pop()
        parents = tuple(name for _, name in above)
        if said.startswith("- "):  # the position in a list matters
            counts[parents] = counts.get(parents, -1) + 1
            said = f"{counts[parents]} {said}"
        key, _, value = said.partition(":")
        path = (*parents, key)
        above.append((indent, key))
        if not set(path) & set(_BESIDE):
            found.append(f"{'/'.join(path)}: {' '.join(value.split())}")
    return sorted(found)


def _stripped(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _uncommented(text: str) -> list[str]:
    """Lines with indentation but without comments: a ``#`` at the start or after a blank, outside quotes."""
    lines = []
    for line in text.splitlines():
        code = re.match(r"""(?:[^#"']|(?<=\S)#|"[^"]*"|'[^']*'|["'])*""", line)
        kept = (code[0] if code else "").rstrip()
        if kept:
            lines.append(kept)
    return lines


_BY_NAME: dict[str, Callable[[str], list[str]]] = {
    "Dockerfile": dockerfile,
    "compose.yaml": compose,
    "requirements.txt": requirements,
}
_BY_SUFFIX: dict[str, Callable[[str], list[str]]] = {
    ".py": python,
    ".js": javascript,
    ".sql": sql,
    ".conf": conf,
}


def normal(path: Path) -> list[str]:
    """The file's lines, by its kind. Raises KeyError for an unknown kind."""
    how = _BY_NAME.get(path.name) or _BY_SUFFIX[path.suffix]
    return how(path.read_text(encoding="utf-8"))
