"""What the mock reports about itself, requested as a client would."""

import gc

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.mock.connection import Connection
from tests.service.test_mock_harness import SETTINGS, Peer, Response, request


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    return Peer(monkeypatch)


def last(peer: Peer, data: bytes) -> Response:
    return peer.ask(data)[-1]


def test_healthz(peer: Peer) -> None:
    assert last(peer, request(target="/healthz")).json == {"status": "ok"}


def test_stats_tell_the_profile_in_force_and_what_happened(peer: Peer) -> None:
    peer.ask(b"".join(request(target=f"/?waitms={ms}") for ms in (10, 20, 30)) + request(target="/?waitms=x"))
    peer.send(request(target="/?waitms=50"))
    parked = peer.connection
    peer.open()
    peer.send(request(target="/stats"))
    parked.connection_lost(None)
    stats = last(peer, b"").json
    profile = SETTINGS.profile
    assert stats["profile"] == {
        "name": "custom",
        "p50_ms": profile.p50_ms,
        "p99_ms": profile.p99_ms,
        "sigma": profile.sigma,
        "mean_ms": profile.mean_ms,
        "seed": SETTINGS.seed,
    }
    counts = {
        name: stats[name] for name in ("requests", "in_flight", "in_flight_max", "completed", "bad_requests")
    }
    assert counts == {"requests": 4, "in_flight": 1, "in_flight_max": 1, "completed": 3, "bad_requests": 1}
    assert stats["intended_ms"].keys() == {"n", "mean", "p50", "p90", "p95", "p99", "max"}
    assert (stats["intended_ms"]["n"], stats["kept_ms"]["n"]) == (4, 3)
    assert stats["kept_ms"]["p50"] == pytest.approx(20, rel=0.05)
    assert 0 <= stats["timer_error_ms"]["p99"] <= stats["timer_error_ms"]["max"] <= 1
    assert stats["rss_bytes"] > 1_000_000
    assert last(peer, request(target="/stats")).json["aborted"] == 1


def test_stats_before_any_request_have_null_quantiles(peer: Peer) -> None:
    stats = last(peer, request(target="/stats")).json
    assert stats["kept_ms"] == {"n": 0, **dict.fromkeys(("mean", "p50", "p90", "p95", "p99", "max"))}


def test_the_log_and_its_reset(peer: Peer) -> None:
    peer.ask(request(target="/?waitms=5&key=a") + request(target="/?waitms=6"))
    log = last(peer, request(target="/log"))
    assert log.headers["content-type"].startswith("text/csv")
    assert log.headers["x-dropped"] == "0"
    header, first, second = log.body.decode().splitlines()
    assert header == "seq,key,intended_ms,kept_ms"
    assert first.startswith("0,a,5.000,5.")
    assert second.startswith("1,,6.000,6.")
    assert last(peer, request("POST", "/reset")).json == {"status": "reset"}
    assert last(peer, request(target="/log")).body == b"seq,key,intended_ms,kept_ms\n"


def test_metrics_agree_with_the_books(peer: Peer) -> None:
    peer.ask(b"".join(request(target=f"/?waitms={ms}") for ms in (1, 20, 3_000)))
    response = last(peer, request(target="/metrics"))
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.body.decode())
        for sample in family.samples
    }
    assert samples["mock_requests_total",] == samples["mock_completed_total",] == 3
    assert samples["mock_in_flight",] == 0
    for name in ("mock_delay_intended_seconds", "mock_delay_kept_seconds"):
        bounds = ("0.01", "0.025", "2.0", "4.0", "+Inf")
        assert [samples[f"{name}_bucket", bound] for bound in bounds] == [1, 2, 2, 3, 3]
        assert samples[f"{name}_sum",] == pytest.approx(3.021, abs=0.01)
    assert 0 <= samples["mock_timer_error_seconds", "0.99"] < 0.001
    assert samples["mock_profile_seconds", "custom", "0.5"] == SETTINGS.profile.p50_ms / 1000


@pytest.mark.parametrize("where", ["arrived", "completed"])
def test_a_defect_is_told_and_counted_and_costs_its_connection_but_is_never_raised(
    peer: Peer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(peer.shared.recorder), where, broken)
    assert peer.ask(request()) == []
    assert peer.transport.aborted
    assert peer.shared.recorder.internal_errors == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_closed_connection_is_freed_without_the_garbage_collector(peer: Peer) -> None:
    """The server runs with the collector off while requests are parked."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            peer.open()
            peer.send(request(target="/?waitms=5") * 3)
            peer.connection.connection_lost(None)
        assert sum(isinstance(found, Connection) for found in gc.get_objects()) <= 2
    finally:
        gc.enable()
