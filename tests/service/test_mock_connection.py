"""The life of a connection to the mock: turns, backpressure, clients that leave, connections that expire."""

import pytest

from services.mock.connection import IDLE_TIMEOUT_S, LINGER_S, READ_TIMEOUT_S
from services.mock.reader import MAX_PIPELINED
from tests.service.test_mock_harness import Peer, request


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    return Peer(monkeypatch)


def test_pipelined_requests_are_answered_in_order_one_delay_after_the_other(peer: Peer) -> None:
    before_s = peer.clock.now_s
    responses = peer.ask(b"".join(request(target=f"/?waitms={ms}") for ms in (300, 0, 100, 0)))
    assert [response.json["delay_ms"] for response in responses] == [300, 0, 100, 0]
    assert peer.clock.now_s - before_s == pytest.approx(0.4)


def test_a_deep_pipeline_stops_reading_until_it_is_shorter(peer: Peer) -> None:
    one = request(target="/?waitms=1")
    peer.send(one * 5_000)
    assert not peer.transport.reading
    assert len(peer.connection._waiting) < MAX_PIPELINED + 4_096 // len(one) + 1
    peer.settle()
    assert peer.transport.reading
    assert peer.transport.written.count(b"200 OK") == 5_000


def test_nothing_is_served_while_the_client_does_not_read(peer: Peer) -> None:
    peer.connection.pause_writing()
    peer.send(request(target="/?waitms=0") * 200)
    peer.send(request(target="/?waitms=0") * 200)
    assert peer.transport.written == b""
    assert not peer.transport.reading
    peer.connection.resume_writing()
    assert peer.transport.written.count(b"200 OK") == 400
    assert peer.transport.reading


@pytest.mark.parametrize("how", ["eof", "reset"])
def test_a_client_that_leaves_takes_its_timer_along(peer: Peer, how: str) -> None:
    peer.send(request(target="/?waitms=1000") * 3)
    if how == "eof":
        peer.connection.eof_received()
        peer.transport.close()
    peer.connection.connection_lost(None)
    recorder = peer.shared.recorder
    assert len(peer.shared.timers) == 0
    assert (recorder.requests, recorder.aborted_count, recorder.in_flight) == (1, 1, 0)
    assert not peer.shared.connections


def test_a_timer_that_meets_a_closing_transport_writes_nothing(peer: Peer) -> None:
    peer.send(request(target="/?waitms=10"))
    peer.transport.close()
    peer.settle()
    assert peer.transport.written == b""
    assert peer.shared.recorder.aborted_count == 1


def test_connections_expire_when_idle_or_slow_but_never_while_parked(peer: Peer) -> None:
    def survives(seconds: int) -> bool:
        peer.shared.seconds += seconds
        peer.connection.expire()
        return not peer.transport.aborted

    assert survives(IDLE_TIMEOUT_S)
    assert not survives(1)

    peer.open()
    peer.send(b"GET / HT")
    assert survives(READ_TIMEOUT_S - 1)
    peer.send(b"TP/1.1\r\n")  # sending slowly gains no time
    assert survives(1)
    assert not survives(1)

    peer.open()
    peer.send(request(target="/?waitms=1"))
    assert survives(10 * IDLE_TIMEOUT_S)
    peer.settle()
    assert survives(IDLE_TIMEOUT_S)
    assert not survives(1)

    peer.open()
    peer.send(b"\0")
    assert survives(LINGER_S)
    peer.send(b"still sending")
    assert not survives(1)
