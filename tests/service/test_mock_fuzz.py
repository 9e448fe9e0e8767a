"""Properties of the mock's HTTP: how a stream is split must not matter, and no input may raise or hang."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.test_mock_harness import Peer, parse, request

_fields = st.lists(
    st.sampled_from(
        ["X-Empty:", "Accept: */*", "Expect: 100-continue", "Upgrade: h2c", "Connection: Upgrade"]
    ),
    max_size=3,
)
_targets = st.sampled_from(
    ["/?key=a:b", "/?key=c", "/?waitms=3", "/?waitms=0", "/?waitms=x", "/healthz", "/no"]
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    fields = draw(_fields)
    method = draw(st.sampled_from(["GET", "POST", "PUT"]))
    body = draw(st.binary(max_size=40))
    if draw(st.booleans()):
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
        head = request(method, draw(_targets), *fields, "Transfer-Encoding: chunked")
        return head + chunks + draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n"]))
    return request(method, draw(_targets), *fields, body=body)


_common = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_common
@given(parts=st.lists(_requests(), min_size=1, max_size=6), cuts=st.lists(st.integers(0, 5_000), max_size=12))
def test_any_split_of_a_valid_stream_gives_the_same_answers(
    monkeypatch: pytest.MonkeyPatch, parts: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(parts)
    answers = []
    for cut in ([], cuts, list(range(len(stream)))):
        peer = Peer(monkeypatch)
        peer.shared.date = b"Date: now\r\n"
        peer.shared.ok_head = b"HTTP/1.1 200 OK\r\nContent-Length: "
        peer.send_split(stream, cut)
        peer.settle()
        # Whether 100 Continue is sent depends on whether the body has already arrived: that may differ.
        answers.append([a for a in parse(peer.transport.written) if a.status != 100])
        assert peer.shared.recorder.internal_errors == 0
    assert len(answers[0]) == len(parts)
    assert answers[0] == answers[1] == answers[2]


_pieces = st.one_of(
    st.binary(max_size=60),
    _requests(),
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"Host: a\r\n",
            b"\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"Connection: upgrade\r\nUpgrade: x\r\n",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffff\r\n",
        ]
    ),
)


@_common
@given(pieces=st.lists(_pieces, max_size=8), cuts=st.lists(st.integers(0, 1_000), max_size=6))
def test_no_input_raises_or_hangs(
    monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], cuts: list[int]
) -> None:
    peer = Peer(monkeypatch)
    peer.send_split(b"".join(pieces), cuts)
    peer.settle()
    recorder = peer.shared.recorder
    assert recorder.internal_errors == 0
    assert recorder.in_flight == 0
    assert recorder.requests == recorder.completed_count
    if not peer.transport.closing:
        assert peer.transport.reading  # neither stuck behind a pause nor holding input back
        assert not peer.connection._waiting
        assert not peer.connection._unparsed
        peer.connection.connection_lost(None)
    assert not peer.shared.connections
