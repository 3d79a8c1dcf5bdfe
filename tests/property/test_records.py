"""What the store's columns hold comes back as it was."""

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.adapters.records import pack_course, pack_spec, unpack_course, unpack_spec
from orchestrator.domain.exchange import Fault, HttpResponse
from orchestrator.domain.execution.course import Child, Course
from orchestrator.domain.execution.retry import Verdict
from orchestrator.domain.execution.run import Answer, Attempt, Leg, LegState, Run
from orchestrator.domain.ids import JobId, RegionName
from orchestrator.domain.jobs.job import JobSpec
from tests.property.strategies import ATTEMPTS, REGION, RESPONSES, SPECS, STATUS, TEXT, UNIX_MS
from tests.support.long import drawn

TIMES = st.none() | UNIX_MS
LEGS = st.builds(
    Leg,
    region=REGION,
    state=st.sampled_from(LegState),
    repeats=st.integers(0, 10**9),
    not_before_ms=UNIX_MS,
)
TRIED = st.builds(
    Attempt,
    id=ATTEMPTS,
    number=st.integers(1, 10**9),
    leg=st.integers(0, 15),
    region=REGION,
    granted_ms=UNIX_MS,
    started_ms=TIMES,
    ended_ms=TIMES,
    closed_ms=TIMES,
    status=st.none() | STATUS,
    fault=st.none() | st.sampled_from(Fault),
    written=st.booleans(),
    verdict=st.none() | st.sampled_from(Verdict),
)
COUNTS = st.integers(0, 10**9)
RUNS = st.builds(
    Run,
    legs=st.lists(LEGS, max_size=4).map(tuple),
    attempts=st.lists(TRIED, max_size=4).map(tuple),
    made=COUNTS,
    retries=COUNTS,
    reroutes=COUNTS,
    used_regions=st.frozensets(REGION),
    answers=st.lists(st.builds(Answer, REGION, RESPONSES, st.none() | REGION), max_size=3).map(tuple),
    crashes=COUNTS,
    forgotten_written=st.booleans(),
)


CHILDREN = st.builds(Child, place=TEXT, job_id=TEXT.map(JobId), known=st.booleans())
COURSES = st.builds(
    Course,
    runs=st.lists(st.none() | RUNS, max_size=3).map(tuple),
    children=st.lists(CHILDREN, max_size=2).map(tuple),
)


@given(COURSES)
@settings(max_examples=drawn(80), deadline=None)
def test_a_course_comes_back_from_its_column(course: Course) -> None:
    assert unpack_course(pack_course(course)) == course


def test_a_course_that_was_stored_before_forgotten_attempts_counted_is_read() -> None:
    course = Course((Run(legs=()),))
    runs, children = msgpack.unpackb(pack_course(course))
    del runs[0]["forgotten_written"]
    assert unpack_course(msgpack.packb([runs, children])) == course


@given(RESPONSES, st.integers(1, 3))
@settings(max_examples=drawn(20), deadline=None)
def test_an_answer_that_was_stored_before_it_had_all_its_marks_is_read(
    response: HttpResponse, missing: int
) -> None:
    plain = replace(response, headers_truncated=False, incomplete="")
    course = Course((Run(legs=(), answers=(Answer(RegionName("iad"), plain),)),))
    runs, children = msgpack.unpackb(pack_course(course))
    del runs[0]["answers"][0][-missing:]
    assert unpack_course(msgpack.packb([runs, children])) == course


@given(SPECS)
@settings(max_examples=drawn(60), deadline=None)
def test_a_spec_comes_back_from_its_column(spec: JobSpec) -> None:
    assert unpack_spec(pack_spec(spec)) == spec
