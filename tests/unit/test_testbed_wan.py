"""What the paths of a testbed do to packets."""

from random import Random

import pytest

from bench.testbed.wan import QUEUE_MOST_S, Wan

THERE, BACK = ("iad", "lax"), ("lax", "iad")
PACKET = 1500


@pytest.fixture
def wan() -> Wan:
    return Wan(Random(7))


def test_a_packet_arrives_after_the_delay_of_its_direction(wan: Wan) -> None:
    wan.shape([THERE], {"delay_ms": 30.0})
    assert wan.arrival(1.0, THERE, PACKET) == pytest.approx(1.03)
    assert wan.arrival(1.0, BACK, PACKET) == pytest.approx(1.0001)


def test_jitter_delays_and_never_reorders(wan: Wan) -> None:
    wan.shape([THERE], {"delay_ms": 30.0, "jitter_ms": 20.0})
    arrivals = [wan.arrival(n / 1000, THERE, PACKET) or 0.0 for n in range(200)]
    assert arrivals == sorted(arrivals)
    assert all(0.03 <= at - n / 1000 <= 0.05 + 1e-9 for n, at in enumerate(arrivals))
    assert len({round(at - n / 1000, 4) for n, at in enumerate(arrivals)}) > 10


def test_loss_takes_its_share(wan: Wan) -> None:
    wan.shape([THERE], {"loss": 0.25})
    lost = sum(wan.arrival(0.0, THERE, PACKET) is None for _ in range(4000))
    assert 800 < lost < 1200


def test_a_narrow_path_carries_what_it_can_and_loses_what_its_queue_does_not_hold(wan: Wan) -> None:
    wan.shape([THERE], {"mbit": 12.0, "delay_ms": 0.0})
    arrivals = [wan.arrival(0.0, THERE, PACKET) for _ in range(1000)]
    passed = [at for at in arrivals if at is not None]
    assert passed[:3] == pytest.approx([0.001, 0.002, 0.003])
    assert max(passed) == pytest.approx(QUEUE_MOST_S, abs=0.002)


def test_a_cut_of_one_direction_leaves_the_other(wan: Wan) -> None:
    wan.cut([THERE])
    assert wan.arrival(0.0, THERE, PACKET) is None
    assert wan.arrival(0.0, BACK, PACKET) is not None
    wan.heal([THERE])
    assert wan.arrival(1.0, THERE, PACKET) is not None


def test_what_a_path_can_not_be_is_said(wan: Wan) -> None:
    with pytest.raises(TypeError):
        wan.shape([THERE], {"dealy_ms": 30.0})
