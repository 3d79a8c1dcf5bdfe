import pytest

from orchestrator.domain.ids import JobId
from orchestrator.domain.trace_context import read_traceparent, span_id_of, trace_of, traceparent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
JOB = JobId("job_1763674210055_853341")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f" 00-{TRACE}-{SPAN}-00 ", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
        (f"cc-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f"cc-{TRACE}-{SPAN}-01-what-will-be", f"00-{TRACE}-{SPAN}-01"),
    ],
)
def test_a_traceparent_is_read_in_the_version_that_is_spoken(text: str, read: str) -> None:
    assert read_traceparent(text) == read


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n00-{TRACE}-{SPAN}-01",
        f"0{'9' * 100_000}",
    ],
)
def test_what_can_not_be_used_is_as_if_it_were_not_there(text: str | None) -> None:
    assert read_traceparent(text) is None


def test_a_job_without_a_parent_has_a_trace_of_its_own_which_stays_the_same() -> None:
    own = trace_of(JOB, None)
    assert own == trace_of(JOB, None)
    assert own.trace_id != trace_of(JobId("job_1763674210055_853342"), None).trace_id
    assert (own.parent_id, own.sampled) == ("", True)


def test_what_goes_out_names_the_span_that_sends_it() -> None:
    context = trace_of(JOB, f"00-{TRACE}-{SPAN}-01")
    assert traceparent_of(context, JOB, 2) == f"00-{TRACE}-{span_id_of(JOB, 2)}-01"
    assert len({span_id_of(JOB), span_id_of(JOB, 1), span_id_of(JOB, 2)}) == 3
    assert read_traceparent(traceparent_of(context, JOB, 2)) == traceparent_of(context, JOB, 2)
