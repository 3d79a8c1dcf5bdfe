"""Long work leaves the event loop to others, however many have some."""

import asyncio
import sys

import pytest

from orchestrator.runtime.cooperative_yield import LINGERS_S, SLICE_S, SWITCH_EVERY_S, CooperativeYield


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts its turns."""

    turns = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]  # no stub has it


class Stage:
    """A clock that each piece of work moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked_in: list[int] = []

    async def work(self, slices: int) -> None:
        breather = CooperativeYield(lambda: self.now)
        for _ in range(slices):
            self.now += 1.01 * SLICE_S
            self.worked_in.append(getattr(asyncio.get_running_loop(), "turns", 0))
            await breather.pause()


async def play(stage: Stage, workers: int) -> None:
    await asyncio.gather(*(stage.work(20) for _ in range(workers)))


@pytest.mark.parametrize("workers", [1, 2, 12])
def test_a_turn_of_the_loop_has_one_slice_of_all_long_work(workers: int) -> None:
    stage = Stage()
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        runner.run(play(stage, workers))
    # Whoever begins has his first slice at once.
    later = stage.worked_in[workers:]
    assert len(later) == workers * 19
    assert len(set(later)) == len(later)


async def test_those_who_have_long_work_take_turns() -> None:
    order: list[str] = []
    stage = Stage()

    async def work(name: str) -> None:
        breather = CooperativeYield(lambda: stage.now)
        for _ in range(4):
            stage.now += 1.01 * SLICE_S
            order.append(name)
            await breather.pause()

    await asyncio.gather(work("a"), work("b"), work("c"))
    assert "".join(order) == "abc" * 4


async def test_one_that_gave_up_holds_up_nobody() -> None:
    stage = Stage()
    gone = asyncio.ensure_future(stage.work(1_000))
    stays = asyncio.ensure_future(stage.work(50))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(stays, 10)


async def test_short_work_waits_for_nobody() -> None:
    stage = Stage()
    breather = CooperativeYield(lambda: stage.now)
    stage.now += SLICE_S / 2
    other = asyncio.ensure_future(stage.work(10))
    await breather.pause()
    assert not other.done()


async def test_threads_switch_often_while_there_is_long_work_and_no_longer() -> None:
    usual = sys.getswitchinterval()
    stage = Stage()
    await stage.work(1)
    meanwhile = sys.getswitchinterval()
    await stage.work(3)
    await asyncio.sleep(3 * LINGERS_S)
    assert meanwhile == pytest.approx(SWITCH_EVERY_S)
    assert sys.getswitchinterval() == pytest.approx(usual)
