"""Sync and async handlers are twins: identical except for async, await and the awaiting objects."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

API = Path(__file__).parents[2] / "services" / "api"
TWINS = [
    ("handlers/async_handlers.py", "handlers/sync_handlers.py"),
    ("db/async_database.py", "db/sync_database.py"),
    ("db/async_psycopg.py", "db/sync_psycopg.py"),
    ("upstream/async_upstream.py", "upstream/sync_upstream.py"),
]
# The awaiting names and their blocking counterparts; everything else must be equal.
NAMES = {
    "AsyncDatabase": "SyncDatabase",
    "AsyncStatements": "SyncStatements",
    "AsyncUnit": "SyncUnit",
    "AsyncUpstream": "SyncUpstream",
    "InAsyncShop": "InSyncShop",
    "AsyncSession": "Session",
    "AsyncClient": "Client",
    "AsyncIterator": "Iterator",
    "async_sessionmaker": "sessionmaker",
    "asynccontextmanager": "contextmanager",
    "create_async_engine": "create_engine",
    "AnyAsyncStatements": "AnySyncStatements",
    "AsyncPsycopgDatabase": "SyncPsycopgDatabase",
    "AsyncPsycopgStatements": "SyncPsycopgStatements",
    "AsyncPsycopgUnit": "SyncPsycopgUnit",
    "AsyncConnection": "Connection",
    "AsyncConnectionPool": "ConnectionPool",
    "AsyncNullConnectionPool": "NullConnectionPool",
    "AsyncExitStack": "ExitStack",
    "enter_async_context": "enter_context",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aiosqlite": "pysqlite",
}


class _Unawaited(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        self.generic_visit(node)
        fields: dict[str, Any] = {name: getattr(node, name, None) for name in ast.FunctionDef._fields}
        plain = ast.FunctionDef(**fields)
        return ast.copy_location(plain, node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        self.generic_visit(node)
        return ast.copy_location(ast.With(items=node.items, body=node.body, type_comment=None), node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        plain = ast.For(
            target=node.target, iter=node.iter, body=node.body, orelse=node.orelse, type_comment=None
        )
        return ast.copy_location(plain, node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return node.value

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self.names.get(node.attr, node.attr)
        # AsyncEngine wraps an Engine; the plain one is its own.
        if (
            node.attr == "sync_engine"
            and isinstance(node.value, ast.Attribute)
            and node.value.attr == "engine"
        ):
            return node.value
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self.names.get(node.name, node.name)
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        node.value = self.names.get(node.value, node.value) if isinstance(node.value, str) else node.value
        return node


def unawaited(tree: ast.AST, names: dict[str, str] = NAMES) -> ast.AST:
    """The tree without async and await, and with the awaiting names replaced."""
    plain: ast.AST = _Unawaited(names).visit(tree)
    return plain


def _shape(source: str) -> str:
    tree = ast.parse(source)
    # Imports and the module docstring name the awaiting modules; only the code must agree.
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)][1:]
    return ast.dump(unawaited(tree), indent=1)


@pytest.mark.parametrize(("awaiting", "blocking"), TWINS)
def test_twins_differ_only_by_awaiting(awaiting: str, blocking: str) -> None:
    assert _shape((API / awaiting).read_text()) == _shape((API / blocking).read_text())


def test_the_comparison_sees_a_changed_statement() -> None:
    source = (API / "handlers/async_handlers.py").read_text()
    changed = source.replace("sql.PRODUCTS_AFTER", "sql.PRODUCT")
    assert changed != source
    assert _shape(changed) != _shape(source)


def test_the_comparison_sees_a_missing_release_of_the_session() -> None:
    source = (API / "db/async_database.py").read_text()
    changed = source.replace("await session.commit()", "pass")
    assert changed != source
    assert _shape(changed) != _shape((API / "db/sync_database.py").read_text())
