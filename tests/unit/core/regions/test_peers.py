"""Which life of an executor counts, in whatever order heartbeats come in."""

from dataclasses import dataclass, field

import pytest

from orchestrator.core.regions.failure_detector import FailureDetector
from orchestrator.core.regions.peer import Peer
from orchestrator.core.regions.peers import PeerBook
from orchestrator.domain.health.routing import (
    ATTEMPTS_CREDIT,
    DOWN_AFTER_S,
    FENCED_AFTER_S,
    HEARTBEAT_EVERY_S,
    SELF_FENCE_AFTER_S,
    SUSPECT_AFTER_S,
    RegionHealth,
)
from orchestrator.domain.ids import NodeAddress, NodeName, RegionName
from orchestrator.messages.names import executor_address
from orchestrator.messages.types import Heartbeat
from tests.unit.http.gateway import MovableClock, SilentLinks

IAD = RegionName("iad")
FIRST = executor_address(IAD)
SECOND = NodeAddress(IAD, NodeName("executor-iad-2"))
ELSEWHERE = NodeAddress(RegionName("fra"), NodeName("executor-fra"))
EPOCH = 3
NO_EPOCH = 0


@dataclass
class Region:
    """A region in a book of its own, and what the failure detector says of it."""

    up: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = MovableClock()
        links = SilentLinks()
        self.book = PeerBook([FIRST], links, self.clock)
        self.detector = FailureDetector(self.book, self.clock, on_up=self._up, on_lost=self._lost)
        self.link = links.by_region[IAD]
        self.book.begin()
        self.detector.begin(EPOCH)

    def beats(
        self,
        incarnation: str,
        epoch: int = EPOCH,
        *,
        places: int | None = None,
        node: NodeAddress = FIRST,
        heard_s: float | None = None,
        number: int = 0,
        only_named: bool = False,
    ) -> int:
        """Let a heartbeat come in; say which epoch the reply names."""
        beat = Heartbeat(incarnation, epoch, places=places, heard_s=heard_s, number=number)
        return self.detector.heartbeat(node, beat, "a machine", only_named=only_named).epoch

    @property
    def health(self) -> RegionHealth:
        return self.book.peer(IAD).health

    def passes(self, seconds: float, *, beating: bool = False) -> None:
        """Let time pass, in which nodes are judged twice a second."""
        for _ in range(int(seconds / HEARTBEAT_EVERY_S)):
            self.clock.ahead_s += HEARTBEAT_EVERY_S
            self.link.stuck_for_s += HEARTBEAT_EVERY_S if self.link.stuck_for_s else 0.0
            if beating:
                self.beats("first")
            self.detector.judge()

    def _up(self, peer: Peer) -> None:
        self.up.append(peer.incarnation)

    def _lost(self, peer: Peer) -> None:
        self.lost.append(peer.incarnation)


@pytest.fixture
async def iad() -> Region:
    return Region()


async def test_an_executor_is_up_once_it_works_for_this_shard(iad: Region) -> None:
    assert iad.beats("first", NO_EPOCH) == EPOCH
    assert iad.up == []
    iad.beats("first")
    assert iad.up == ["first"]


async def test_a_restarted_executor_takes_the_place_of_its_former_life(iad: Region) -> None:
    for incarnation in ("first", "second"):
        iad.beats(incarnation, NO_EPOCH)
        iad.beats(incarnation)
    assert iad.lost == ["first", "second"]
    assert iad.book.peer(IAD).incarnation == "second"


async def test_a_late_heartbeat_of_a_former_life_changes_nothing(iad: Region) -> None:
    for incarnation in ("first", "second"):
        iad.beats(incarnation, NO_EPOCH)
        iad.beats(incarnation)
    iad.beats("first")
    assert iad.book.peer(IAD).incarnation == "second"


async def test_a_former_life_whose_second_heartbeat_was_overtaken_does_not_bury_the_next(iad: Region) -> None:
    iad.beats("first", NO_EPOCH)
    iad.beats("second", NO_EPOCH)
    iad.beats("second")
    iad.beats("first")
    iad.beats("second")
    assert iad.lost == ["second"]
    assert iad.book.regions_up() == [IAD]


async def test_a_former_life_that_lives_on_is_told_that_it_works_for_no_shard(iad: Region) -> None:
    for incarnation in ("first", "second"):
        iad.beats(incarnation, NO_EPOCH)
        iad.beats(incarnation)
    assert iad.beats("first") == NO_EPOCH
    assert iad.beats("second") == EPOCH


async def test_an_executor_short_of_descriptors_is_given_no_more_than_it_has_places_for(iad: Region) -> None:
    iad.beats("first", NO_EPOCH)
    iad.beats("first", places=3)
    peer = iad.book.peer(IAD)
    peer.attempts_open = 2
    assert iad.book.regions_with_credit() == [IAD]
    peer.attempts_open = 3
    assert iad.book.regions_with_credit() == []


async def test_what_waits_for_credit_hears_of_places_that_came_back(iad: Region) -> None:
    iad.beats("first", NO_EPOCH)
    iad.beats("first", places=3)
    iad.book.peer(IAD).attempts_open = 3
    iad.beats("first", places=3)
    assert iad.up == ["first"]
    iad.beats("first", places=4)
    assert iad.up == ["first", "first"]
    assert iad.book.regions_with_credit() == [IAD]


async def test_no_executor_has_more_places_than_there_is_credit(iad: Region) -> None:
    iad.beats("first", NO_EPOCH)
    for places in (None, 10 * ATTEMPTS_CREDIT):
        iad.beats("first", places=places)
        assert iad.book.peer(IAD).places == ATTEMPTS_CREDIT


async def test_a_second_node_of_a_region_is_no_successor_of_the_first(iad: Region) -> None:
    for node in (FIRST, SECOND):
        iad.beats(str(node), NO_EPOCH, node=node)
        iad.beats(str(node), node=node)
    assert iad.beats(str(FIRST)) == EPOCH
    assert iad.lost == [str(FIRST), str(SECOND)]
    assert [node.health for node in iad.book.region(IAD).nodes] == [RegionHealth.UP] * 2


async def test_a_region_is_as_well_as_the_best_of_its_nodes_and_work_goes_to_that(iad: Region) -> None:
    for node in (FIRST, SECOND):
        iad.beats(str(node), NO_EPOCH, node=node)
        iad.beats(str(node), node=node)
    iad.book.all()[0].doubt()
    assert iad.book.regions_up() == iad.book.regions_with_credit() == [IAD]
    assert iad.book.peer(IAD).address == SECOND
    iad.book.peer(IAD).doubt()
    assert iad.book.regions_up() == []


async def test_of_two_nodes_that_are_well_the_one_with_less_to_do_gets_the_next_attempt(iad: Region) -> None:
    for node in (FIRST, SECOND):
        iad.beats(str(node), NO_EPOCH, node=node)
        iad.beats(str(node), places=3, node=node)
    iad.book.all()[0].attempts_open = 2
    assert iad.book.peer(IAD).address == SECOND
    iad.book.all()[1].attempts_open = 3
    assert iad.book.peer(IAD).address == FIRST


async def test_a_node_of_a_region_that_is_not_served_is_not_known(iad: Region) -> None:
    iad.beats("stranger", node=ELSEWHERE)
    assert [peer.address for peer in iad.book.all()] == [FIRST]


@pytest.fixture
def beaten(iad: Region) -> Region:
    """One that works."""
    iad.beats("first", NO_EPOCH)
    iad.beats("first")
    return iad


async def test_a_node_that_beats_but_takes_nothing_gets_no_new_work_and_loses_what_it_had(
    beaten: Region,
) -> None:
    beaten.link.stuck_for_s = HEARTBEAT_EVERY_S
    beaten.passes(SUSPECT_AFTER_S, beating=True)
    assert beaten.health is RegionHealth.SUSPECT
    assert beaten.beats("first") == NO_EPOCH, "its lease is prolonged though nothing reaches it"
    beaten.passes(4.0, beating=True)
    assert (beaten.health, beaten.lost) == (RegionHealth.DOWN, ["first", "first"])


async def test_a_node_that_took_nothing_is_up_again_once_something_arrived(beaten: Region) -> None:
    beaten.link.stuck_for_s = HEARTBEAT_EVERY_S
    beaten.passes(6.0, beating=True)
    assert beaten.book.regions_up() == []
    beaten.link.stuck_for_s = 0.0
    assert beaten.beats("first") == EPOCH
    assert beaten.book.regions_up() == [IAD]


async def test_a_node_that_was_started_again_is_not_blamed_for_what_its_former_life_did_not_take(
    beaten: Region,
) -> None:
    beaten.link.stuck_for_s = HEARTBEAT_EVERY_S
    beaten.passes(SUSPECT_AFTER_S, beating=True)
    beaten.beats("second", NO_EPOCH)
    beaten.beats("second")
    assert beaten.health is RegionHealth.UP


async def test_a_node_that_no_reply_reaches_is_down_as_soon_as_it_has_fenced_itself(beaten: Region) -> None:
    beaten.beats("first", heard_s=SELF_FENCE_AFTER_S, number=5)
    assert beaten.health is RegionHealth.UP
    beaten.beats("first", heard_s=FENCED_AFTER_S, number=6)
    assert (beaten.health, beaten.lost) == (RegionHealth.DOWN, ["first", "first"])
    beaten.beats("first", heard_s=HEARTBEAT_EVERY_S, number=7)
    assert beaten.health is RegionHealth.UP


async def test_a_stall_of_the_shards_own_takes_nothing_from_a_node_until_that_is_heard_again(
    beaten: Region,
) -> None:
    beaten.clock.ahead_s += 10.0
    beaten.link.stuck_for_s = 10.0
    beaten.passes(1.0)
    assert (beaten.health, beaten.lost) == (RegionHealth.UP, ["first"])
    assert beaten.beats("first", heard_s=11.0, number=5) == EPOCH
    assert (beaten.health, beaten.lost) == (RegionHealth.UP, ["first"])
    beaten.passes(SUSPECT_AFTER_S)
    assert beaten.health is RegionHealth.SUSPECT


async def test_a_node_that_stays_silent_after_the_shards_own_stall_is_down_by_what_it_had_time_for(
    beaten: Region,
) -> None:
    beaten.clock.ahead_s += 10.0
    beaten.passes(DOWN_AFTER_S + HEARTBEAT_EVERY_S)
    assert (beaten.health, beaten.lost) == (RegionHealth.DOWN, ["first", "first"])


async def test_a_late_heartbeat_does_not_tell_of_a_silence_that_is_over(beaten: Region) -> None:
    beaten.beats("first", heard_s=HEARTBEAT_EVERY_S, number=7)
    beaten.beats("first", heard_s=FENCED_AFTER_S, number=6)
    assert (beaten.health, beaten.lost) == (RegionHealth.UP, ["first"])


async def test_a_node_for_jobs_that_name_its_region_takes_no_others(iad: Region) -> None:
    for epoch in (NO_EPOCH, EPOCH):
        iad.beats("first", epoch, only_named=True)
    assert iad.book.regions_up() == iad.book.regions_up([IAD]) == iad.book.regions_with_credit([IAD]) == [IAD]
    assert iad.book.regions_up([]) == iad.book.regions_with_credit([]) == []
    assert not iad.book.is_up(IAD, named=False)
    assert iad.book.default() is None


async def test_of_a_regions_nodes_those_that_take_any_job_take_the_others(iad: Region) -> None:
    for node, only_named in ((FIRST, True), (SECOND, False)):
        for epoch in (NO_EPOCH, EPOCH):
            iad.beats("first", epoch, node=node, only_named=only_named)
    first, second = iad.book.regions()[0].nodes
    second.attempts_open = 1
    assert (iad.book.peer(IAD, named=True), iad.book.peer(IAD, named=False)) == (first, second)
    assert iad.book.regions_up([]) == iad.book.regions_with_credit([]) == [IAD]
    assert iad.book.default() == IAD
    second.attempts_open = ATTEMPTS_CREDIT
    assert iad.book.regions_with_credit([]) == []


async def test_a_node_may_come_back_for_other_jobs_than_before(beaten: Region) -> None:
    beaten.beats("first", only_named=True)
    assert beaten.book.regions_up([]) == []
    beaten.beats("first")
    assert beaten.book.regions_up([]) == [IAD]


async def test_a_node_that_has_left_gets_nothing_until_it_works_for_the_shard_again() -> None:
    region = Region()
    region.beats("first", number=1)
    region.beats("first", NO_EPOCH, number=2)
    assert region.health is RegionHealth.SUSPECT
    assert region.book.regions_with_credit() == []
    region.beats("first", number=3)
    assert (region.health, region.lost[1:]) == (RegionHealth.UP, ["first"])


async def test_a_late_heartbeat_of_a_node_that_had_left_keeps_no_work_from_it() -> None:
    region = Region()
    region.beats("first", number=1)
    region.beats("first", number=3)
    region.beats("first", NO_EPOCH, number=2)
    assert (region.health, region.lost) == (RegionHealth.UP, ["first"])
