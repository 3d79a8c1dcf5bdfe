"""Which life of an executor counts, in whatever order heartbeats come in."""

from dataclasses import dataclass, field

import pytest

from orchestrator.core.peers import ATTEMPTS_CREDIT, Peer, PeerBook
from orchestrator.domain.ids import RegionName
from orchestrator.ports.clock import SystemClock
from orchestrator.wire.messages import Heartbeat
from tests.unit.http.gateway import SilentLinks

IAD = RegionName("iad")
EPOCH = 3
NO_EPOCH = 0


@dataclass
class Region:
    """A region in a book of its own, and what the book said of it."""

    up: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = PeerBook([IAD], SilentLinks(), SystemClock(), on_up=self._up, on_lost=self._lost)
        self.book.begin(EPOCH)

    def beats(self, incarnation: str, epoch: int = EPOCH, *, places: int | None = None) -> int:
        """Let a heartbeat come in; say which epoch the reply names."""
        return self.book.heard(Heartbeat(IAD, incarnation, epoch, places=places), "a machine").epoch

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
