"""The mock's HTTP/1.1, edge by edge."""

import pytest

from services.contract import delays as profiles
from services.mock.reader import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_TARGET_BYTES
from tests.service.test_mock_harness import SETTINGS, Peer, Response, request


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    return Peer(monkeypatch)


def statuses(responses: list[Response]) -> list[int]:
    return [response.status for response in responses]


def test_a_keyed_request_waits_as_long_as_its_key_says(peer: Peer) -> None:
    before_s = peer.clock.now_s
    (response,) = peer.ask(request(target="/?key=user-1"))
    delay_ms = profiles.delay_ms(SETTINGS.profile, "user-1", SETTINGS.seed)
    assert response.json == {
        "key": "user-1",
        "delay_ms": round(delay_ms, 3),
        "factor": round(profiles.factor("user-1", SETTINGS.seed), 4),
    }
    assert (peer.clock.now_s - before_s) * 1000 == pytest.approx(delay_ms)
    assert response.headers["content-type"] == "application/json"
    assert {"date", "content-length"} <= response.headers.keys()
    assert not peer.transport.closing


def test_waitms_waits_as_long_as_asked_and_a_key_beside_it_still_gives_the_factor(peer: Peer) -> None:
    before_s = peer.clock.now_s
    (response,) = peer.ask(request(target="/?waitms=1500&key=a"))
    assert (peer.clock.now_s - before_s) * 1000 == pytest.approx(1500)
    assert response.json["delay_ms"] == 1500
    assert response.json["factor"] == round(profiles.factor("a", SETTINGS.seed), 4)


def test_waitms_0_is_answered_at_once(peer: Peer) -> None:
    peer.send(request(target="/?waitms=0"))
    assert peer.transport.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(peer.shared.timers) == 0


def test_without_a_key_delays_differ_and_the_factor_is_one(peer: Peer) -> None:
    first, second = peer.ask(request() + request())
    assert first.json["key"] is None
    assert first.json["factor"] == 1
    assert first.json["delay_ms"] != second.json["delay_ms"]


@pytest.mark.parametrize(
    "target",
    [
        "/?waitms=-1",
        "/?waitms=+1",
        "/?waitms=1.5",
        "/?waitms=1e3",
        "/?waitms=",
        "/?waitms=%D9%A1",  # an Arabic digit is a digit to str.isdigit
        "/?waitms=600001",
        "/?waitms=1&waitms=2",
        "/?wait_ms=5",
        "/?waitms",
        "/?key=",
        "/?key=a%20b",
        "/?key=a%0A",
        "/?key=%FF",
        "/?key=" + "k" * 129,
        "/?key=a&&",
        "http://[/?waitms=1",
    ],
)
def test_a_query_that_could_be_misread_is_refused_with_a_reason(peer: Peer, target: str) -> None:
    (response,) = peer.ask(request(target=target))
    assert response.status == 400
    assert response.json["error"]
    assert peer.shared.recorder.requests == 0


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/?key=a%3Ab", "a:b"),
        ("/?key=A.b_c:d-9", "A.b_c:d-9"),
        ("/?key=" + "k" * 128, "k" * 128),
        ("http://mock/?key=a", "a"),
        ("/?", None),
        ("/?waitms=600000", None),
        ("/?waitms=000001", None),
    ],
)
def test_other_spellings_of_a_good_target_are_understood(peer: Peer, target: str, key: str | None) -> None:
    (response,) = peer.ask(request(target=target))
    assert response.status == 200
    assert response.json["key"] == key


def test_head_has_the_length_of_the_body_but_no_body(peer: Peer) -> None:
    head, get = peer.ask(request("HEAD", "/?key=a") + request(target="/?key=a"), heads=(0,))
    assert head.headers["content-length"] == get.headers["content-length"]
    assert head.body == b""


def test_post_bodies_are_drained(peer: Peer) -> None:
    chunked = request("POST", "/?waitms=2", "Transfer-Encoding: chunked")
    chunked += b'3;name="v"\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n'
    responses = peer.ask(request("POST", "/?waitms=1", body=b"GET / HTTP/1.1\r\n\r\n") + chunked + request())
    assert statuses(responses) == [200, 200, 200]
    assert [response.json["delay_ms"] for response in responses[:2]] == [1, 2]


@pytest.mark.parametrize(
    ("head", "connection", "closes"),
    [
        (b"GET /?waitms=1 HTTP/1.1\r\nHost: a\r\n\r\n", None, False),
        (b"GET /?waitms=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close", True),
        (b"GET /?waitms=1 HTTP/1.0\r\n\r\n", "close", True),
        (b"GET /?waitms=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive", False),
        (b"GET /healthz HTTP/1.0\r\n\r\n", "close", True),
    ],
)
def test_the_connection_stays_or_closes_as_asked(
    peer: Peer, head: bytes, connection: str | None, closes: bool
) -> None:
    (response,) = peer.ask(head)
    assert response.status == 200
    assert response.headers.get("connection") == connection
    assert peer.transport.closing is closes


@pytest.mark.parametrize("wait_ms", [0, 1])
@pytest.mark.parametrize("rest", [b"\0", request()])
def test_what_follows_connection_close_is_discarded(peer: Peer, wait_ms: int, rest: bytes) -> None:
    closing = request("GET", f"/?waitms={wait_ms}", "Connection: close")
    assert statuses(peer.ask(closing + rest)) == [200]
    assert peer.shared.recorder.bad_requests == 0


def test_100_continue_comes_before_the_body_and_after_earlier_answers(peer: Peer) -> None:
    expecting = request("POST", "/?waitms=1", "Expect: 100-continue", "Content-Length: 2")
    peer.send(expecting)
    assert peer.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    responses = peer.ask(b"ab" + request(target="/?waitms=5") + expecting)
    assert statuses(responses) == [100, 200, 200, 100]
    assert statuses(peer.ask(b"cd"))[-1] == 200


def test_100_continue_is_not_sent_for_a_body_that_is_too_large_or_already_there(peer: Peer) -> None:
    fields = ("Expect: 100-continue", f"Content-Length: {MAX_BODY_BYTES + 1}")
    peer.send(request(target="/?waitms=5"))
    peer.send(request("POST", "/?waitms=5", "Expect: 100-continue", body=b"here"))
    assert statuses(peer.ask(request("POST", "/", *fields))) == [200, 200, 413]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("chunked", [False, True])
def test_upgrade_is_ignored_and_the_body_beside_it_drained(peer: Peer, method: str, chunked: bool) -> None:
    fields = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"]
    fields.append("Transfer-Encoding: chunked" if chunked else "Content-Length: 5")
    body = b"5\r\nGET /\r\n0\r\n\r\n" if chunked else b"GET /"
    responses = peer.ask(request(method, "/?waitms=1&key=a", *fields) + body + request(target="/?waitms=2"))
    assert statuses(responses) == [200, 200]
    assert [response.json["delay_ms"] for response in responses] == [1, 2]


def test_upgrade_without_a_body_is_ignored(peer: Peer) -> None:
    fields = ("Connection: Upgrade", "Upgrade: websocket")
    assert statuses(peer.ask(request("GET", "/?waitms=1", *fields) + request())) == [200, 200]


def test_sizes_at_the_limit_pass_and_above_it_are_refused(peer: Peer) -> None:
    filler = MAX_HEADER_BYTES - len("Hostmock") - 4 - len("X") - 4
    cases = [
        (request(target="/?" + "k" * (MAX_TARGET_BYTES - 2)), 400),
        (request(target="/?" + "k" * (MAX_TARGET_BYTES - 1)), 414),
        (request("GET", "/healthz", "X: " + "v" * filler), 200),
        (request("GET", "/healthz", "X: " + "v" * (filler + 1)), 431),
        (request("POST", "/?waitms=0", body=b"b" * MAX_BODY_BYTES), 200),
        (request("POST", "/?waitms=0", body=b"b" * (MAX_BODY_BYTES + 1)), 413),
    ]
    for data, status in cases:
        peer.open()
        assert statuses(peer.ask(data)) == [status]
        assert peer.transport.eof_written is (status in (413, 414, 431))


@pytest.mark.parametrize(
    ("start", "flood", "status"),
    [
        (b"GET /" + b"a" * 100, b"a" * 1_000, 414),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1_000, 431),
        (b"\r\n", b"\r\n" * 500, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 682, 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"e" * 4_096, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ", b"e" * 4_096, 431),
    ],
)
def test_a_message_without_end_is_bounded(peer: Peer, start: bytes, flood: bytes, status: int) -> None:
    peer.send(start)
    for _ in range(2_000):
        peer.send(flood)
        if peer.transport.eof_written:
            break
    peer.send(b"\r\n" + request())  # what comes after the refusal is discarded
    assert statuses(peer.ask(b"")) == [status]
    assert peer.shared.recorder.requests == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"WHAT / HTTP/1.1\r\n\r\n",
    ],
)
def test_garbage_is_answered_400_after_the_answers_before_it_and_ends_the_connection(
    peer: Peer, data: bytes
) -> None:
    responses = peer.ask(request(target="/?waitms=5") + data + request())
    assert statuses(responses) == [200, 400]
    assert responses[1].headers["connection"] == "close"
    assert peer.transport.eof_written
    assert peer.shared.recorder.internal_errors == 0


def test_a_missing_or_doubled_host_is_400_but_not_the_end(peer: Peer) -> None:
    bad = b"GET / HTTP/1.1\r\n\r\n" + request("GET", "/", "Host: other")
    assert statuses(peer.ask(bad + request())) == [400, 400, 200]


def test_other_http_versions_are_505(peer: Peer) -> None:
    assert statuses(peer.ask(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n")) == [505]


@pytest.mark.parametrize(
    ("method", "target", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "//", 404, None),
        ("DELETE", "/", 405, "GET, HEAD, POST"),
        ("PUT", "/?key=a%3Ab", 405, "GET, HEAD, POST"),
        ("POST", "/stats", 405, "GET, HEAD"),
        ("GET", "/reset", 405, "POST"),
        ("CONNECT", "host:80", 404, None),
        ("OPTIONS", "*", 404, None),
    ],
)
def test_unknown_paths_and_methods(
    peer: Peer, method: str, target: str, status: int, allow: str | None
) -> None:
    first, second = peer.ask(request(method, target) + request(target="/healthz"))
    assert (first.status, first.headers.get("allow"), second.status) == (status, allow, 200)
    assert peer.shared.recorder.bad_requests == 1


def test_an_empty_header_value_does_not_run_into_the_next_name(peer: Peer) -> None:
    assert statuses(peer.ask(b"GET /healthz HTTP/1.1\r\nX-Empty:\r\nHost: a\r\n\r\n")) == [200]
