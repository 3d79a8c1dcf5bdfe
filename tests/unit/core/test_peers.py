"""Which life of an executor counts, in whatever order heartbeats come in."""

from dataclasses import dataclass, field

import pytest

from orchestrator.core.peers import Peer, PeerBook
from orchestrator.domain.ids import NodeAddress, NodeName, RegionName
from orchestrator.domain.routing import ATTEMPTS_CREDIT, RegionHealth
from orchestrator.ports.clock import SystemClock
from orchestrator.wire.messages import Heartbeat
from orchestrator.wire.names import executor_address
from tests.unit.http.gateway import SilentLinks

IAD = RegionName("iad")
FIRST = executor_address(IAD)
SECOND = NodeAddress(IAD, NodeName("executor-iad-2"))
ELSEWHERE = NodeAddress(RegionName("fra"), NodeName("executor-fra"))
EPOCH = 3
NO_EPOCH = 0


@dataclass
class Region:
    """A region in a book of its own, and what the book said of it."""

    up: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = PeerBook([FIRST], SilentLinks(), SystemClock(), on_up=self._up, on_lost=self._lost)
        self.book.begin(EPOCH)

    def beats(
        self,
        incarnation: str,
        epoch: int = EPOCH,
        *,
        places: int | None = None,
        node: NodeAddress = FIRST,
    ) -> int:
        """Let a heartbeat come in; say which epoch the reply names."""
        return self.book.heard(node, Heartbeat(incarnation, epoch, places=places), "a machine").epoch

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
    iad.book.doubt(iad.book.all()[0])
    assert iad.book.regions_up() == iad.book.regions_with_credit() == [IAD]
    assert iad.book.peer(IAD).address == SECOND
    iad.book.doubt(iad.book.peer(IAD))
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
