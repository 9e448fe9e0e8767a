"""From a request target to what it asks for. Strict, because a typo must not become a different delay."""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from services.contract.delays import MAX_DELAY_MS

_KEY: Final = "[A-Za-z0-9._:-]{1,128}"
_MATCH_KEY: Final = re.compile(_KEY).fullmatch
_MATCH_WAIT: Final = re.compile("[0-9]{1,6}").fullmatch
# What k6 and the service send, in one match; everything else takes the general path to the same result.
_MATCH_PLAIN: Final = re.compile(rb"/(?:\?key=(%b)|\?waitms=([0-9]{1,6}))?" % _KEY.encode()).fullmatch

KEY_RULE: Final = "key must be 1 to 128 of A-Z a-z 0-9 . _ : -"
WAIT_RULE: Final = f"waitms must be a whole number of milliseconds from 0 to {MAX_DELAY_MS}"


class BadTargetError(ValueError):
    """A target that cannot be served; the message is the reason that the client gets."""


class Delay(NamedTuple):
    """A requested delay: `wait_ms` if given, else None (use the profile); `key` in ASCII or None."""

    wait_ms: int | None
    key: bytes | None


def parse_plain(target: bytes) -> Delay | None:
    """The delay that a target in the usual form requests; None leaves it to `split` and `parse_query`."""
    match = _MATCH_PLAIN(target)
    if match is None:
        return None
    key, wait = match.groups()
    if wait is None:
        return Delay(None, key)
    wait_ms = int(wait)
    return Delay(wait_ms, None) if wait_ms <= MAX_DELAY_MS else None


def split(target: bytes) -> tuple[str, str]:
    """(path, query) of a target in origin form or absolute form. Raises BadTargetError."""
    text = target.decode("latin-1")
    if text.startswith("/"):
        path, _, query = text.partition("#")[0].partition("?")
        return path, query
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise BadTargetError("the request target is not a URL") from error
    return parts.path or "/", parts.query


def parse_query(query: str) -> Delay:
    """The delay that the query of `/` requests. Raises BadTargetError with the reason."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict", max_num_fields=8
        )
    except ValueError as error:
        raise BadTargetError("the query is not name=value pairs in UTF-8") from error
    fields = dict(pairs)
    if len(fields) < len(pairs) or not fields.keys() <= {"waitms", "key"}:
        raise BadTargetError("the query may hold waitms and key, each once")
    wait, key = fields.get("waitms"), fields.get("key")
    if key is not None and not _MATCH_KEY(key):
        raise BadTargetError(KEY_RULE)
    if wait is None:
        return Delay(None, None if key is None else key.encode("ascii"))
    if not _MATCH_WAIT(wait) or int(wait) > MAX_DELAY_MS:
        raise BadTargetError(WAIT_RULE)
    return Delay(int(wait), None if key is None else key.encode("ascii"))
