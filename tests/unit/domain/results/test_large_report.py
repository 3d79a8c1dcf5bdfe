"""A large result is the same however it was written, and no piece of it takes long."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.exchange import HttpResponse
from orchestrator.domain.execution.course import PRIMARY, Course
from orchestrator.domain.execution.run import Answer, Run
from orchestrator.domain.execution.settling import Failure, FailureCode
from orchestrator.domain.jobs.lifecycle import JobState
from orchestrator.domain.jobs.policies import ExecutionMode
from orchestrator.domain.results import large_report
from orchestrator.domain.results.large_report import SLICE_BYTES, large_webhook_body
from orchestrator.domain.results.report import webhook_body
from tests.unit.domain.builders import IAD, LAX, REGIONS, UnderWay, a_job, a_spec

ODD_METADATA = {"a": {"b": [1, None]}, "ü": "\ud800", "empty": {}}
bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text(alphabet='x"\\\n\t\x01\0ü€😀', max_size=80).map(str.encode),
)
responses = st.builds(
    HttpResponse,
    status=st.just(200),
    headers=st.just({"content-type": "text/plain"}),
    body=bodies,
    truncated=st.booleans(),
    incomplete=st.sampled_from(["", "the connection was closed"]),
)


def written(
    run: Run, answer: Answer | None, *, failure: Failure | None = None, fanout: bool = False
) -> tuple[bytes, bytes]:
    mode = {"execution_mode": ExecutionMode.FANOUT, "regions": REGIONS} if fanout else {}
    state = JobState.FAILED if failure else JobState.SUCCESS
    job, course = a_job(metadata=ODD_METADATA, **mode), Course((run,))
    whole, pieces = (
        write(job, course, state, step=PRIMARY, answer=answer, failure=failure)
        for write in (webhook_body, large_webhook_body)
    )
    assert isinstance(whole, bytes)
    return whole, b"".join(pieces)


@given(response=responses, slice_bytes=st.sampled_from([3, 6, 48]))
def test_pieces_of_a_result_are_together_what_is_written_at_once(
    response: HttpResponse, slice_bytes: int
) -> None:
    with patch.object(large_report, "SLICE_BYTES", slice_bytes):
        whole, joined = written(UnderWay(a_spec()).run, Answer(IAD, response))

    assert joined == whole


@given(first=responses, second=responses)
def test_so_are_the_pieces_of_a_fanout(first: HttpResponse, second: HttpResponse) -> None:
    run = Run(legs=(), answers=(Answer(IAD, first), Answer(LAX, second)))
    with patch.object(large_report, "SLICE_BYTES", 3):
        whole, joined = written(run, None, fanout=True)

    assert joined == whole
    assert b'"ran_in":"lax"' in joined


def test_and_those_of_a_failure() -> None:
    failure = Failure(FailureCode.STATUS, "the target answered 500")
    response = HttpResponse(status=500, headers={}, body=b"no")
    whole, joined = written(UnderWay(a_spec()).run, Answer(IAD, response), failure=failure)

    assert joined == whole


@pytest.mark.parametrize("body", [b"x", b"\0", b'"', "ü".encode(), b"\xff"])
def test_no_piece_is_larger_than_a_few_slices(body: bytes) -> None:
    response = HttpResponse(status=200, headers={}, body=body * (20 * SLICE_BYTES))
    pieces = large_webhook_body(
        a_job(),
        Course((UnderWay(a_spec()).run,)),
        JobState.SUCCESS,
        step=PRIMARY,
        answer=Answer(IAD, response),
        failure=None,
    )

    assert max(map(len, pieces)) <= 2 * SLICE_BYTES
