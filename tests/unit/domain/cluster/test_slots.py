from collections import Counter

from orchestrator.domain.cluster.slots import SLOTS, slot_of
from orchestrator.domain.ids import TargetDomain


def test_a_target_is_in_the_same_slot_in_every_process_and_version() -> None:
    names = ("api.example.com", "api.example.com:80", "[2001:db8::1]:8443")
    assert [slot_of(TargetDomain(name)) for name in names] == [44, 89, 82]


def test_targets_spread_over_all_slots() -> None:
    taken = Counter(slot_of(TargetDomain(f"api{number}.example.com")) for number in range(100 * SLOTS))
    assert sorted(taken) == list(range(SLOTS))
    assert max(taken.values()) < 2 * 100
