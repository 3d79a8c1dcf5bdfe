"""What is kept of a step that has something at another shard."""

from msgspec import field

from orchestrator.core.shards.session_messages import StepName
from orchestrator.core.shards.steps_across import StepAcross, StepsAcross
from orchestrator.domain.ids import AttemptId, JobId, TargetDomain
from orchestrator.domain.queueing.ticket import Ticket
from orchestrator.ports.targets import Turn

JOB = JobId("job_1")
NAME: StepName = (JOB, 0)
TURN = Turn(TargetDomain("api.example.com"), Ticket(0, JOB), 7)
ATTEMPT = AttemptId("1.1")


class Step(StepAcross, kw_only=True):
    open: set[AttemptId] = field(default_factory=set)

    @property
    def attempts(self) -> set[AttemptId]:
        return self.open


def with_a_step(forgotten: list[StepName]) -> tuple[StepsAcross[Step], Step]:
    steps: StepsAcross[Step] = StepsAcross(lambda turn: turn.permit, forgotten.append)
    step = steps[NAME] = Step()
    return steps, step


def test_a_turn_is_answered_once() -> None:
    steps, step = with_a_step([])
    steps.offer(step, TURN)
    assert steps.answer(TURN) is step
    assert steps.answer(TURN) is None


def test_a_turn_that_was_never_offered_has_no_answer() -> None:
    steps, _ = with_a_step([])
    assert steps.answer(TURN) is None


def test_a_withdrawn_step_is_forgotten_with_its_last_attempt() -> None:
    forgotten: list[StepName] = []
    steps, step = with_a_step(forgotten)
    step.open.add(ATTEMPT)
    step.withdrawn = True
    steps.forget_if_over(NAME)
    assert (len(steps), forgotten) == (1, [])
    step.open.clear()
    steps.forget_if_over(NAME)
    steps.forget_if_over(NAME)
    assert (len(steps), forgotten) == (0, [NAME])
