import pytest
from msgspec.structs import replace

from orchestrator.domain.exchange import Fault
from orchestrator.domain.execution.retry import Verdict, backoff_ms, judge_fault, judge_response
from orchestrator.domain.jobs.job import RetryPolicy
from orchestrator.domain.jobs.policies import Guarantee
from tests.unit.domain.builders import a_spec, answer

AT_MOST_ONCE = a_spec(guarantee=Guarantee.AT_MOST_ONCE)
UNWRITTEN = (Fault.CONNECT, Fault.CONNECT_TIMEOUT)
PATIENT = {"retry-after": "2"}


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_2xx_is_success(status: int) -> None:
    assert judge_response(a_spec(), answer(status)) is Verdict.SUCCESS


@pytest.mark.parametrize("guarantee", Guarantee)
@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_success_that_could_not_be_read_to_its_end_is_one(status: int, guarantee: Guarantee) -> None:
    spec = a_spec(guarantee=guarantee)
    assert judge_response(spec, answer(status, incomplete="cut")) is Verdict.SUCCESS


def test_a_success_that_could_not_be_read_to_its_end_is_repeated_where_the_policy_names_its_code() -> None:
    retried = a_spec(retry_policy=RetryPolicy(retry_codes=frozenset({200})))
    rerouted = a_spec(retry_policy=RetryPolicy(reroute_codes=frozenset({200})))
    cut = answer(200, incomplete="cut")
    assert judge_response(retried, cut) is Verdict.RETRY
    assert judge_response(rerouted, cut) is Verdict.REROUTE
    assert judge_response(replace(rerouted, guarantee=Guarantee.AT_MOST_ONCE), cut) is Verdict.SUCCESS
    assert judge_response(retried, answer(201, incomplete="cut")) is Verdict.SUCCESS


@pytest.mark.parametrize("status", [302, 404, 429, 500, 501, 503])
def test_any_other_answer_that_could_not_be_read_to_its_end_is_judged_as_if_it_had(status: int) -> None:
    for spec in (a_spec(), AT_MOST_ONCE, a_spec(retry_policy=RetryPolicy(retry_codes=frozenset({404})))):
        assert judge_response(spec, answer(status, incomplete="cut")) is judge_response(spec, answer(status))


@pytest.mark.parametrize("status", [100, 199, 300, 301, 302, 307, 400, 401, 404, 409, 501, 505, 599])
def test_a_code_in_neither_list_ends_the_leg_redirects_among_them(status: int) -> None:
    assert judge_response(a_spec(), answer(status)) is Verdict.END


@pytest.mark.parametrize("status", [500, 502, 504])
def test_the_default_reroute_codes_move_a_leg(status: int) -> None:
    assert judge_response(a_spec(), answer(status)) is Verdict.REROUTE


def test_without_a_policy_a_429_asks_for_patience_and_spends_nothing() -> None:
    assert judge_response(a_spec(), answer(429)) is Verdict.WAIT
    assert judge_response(a_spec(), answer(429, headers=PATIENT), asks_to_wait=True) is Verdict.WAIT


def test_without_a_policy_a_503_asks_for_patience_only_where_it_names_a_wait_that_lies_ahead() -> None:
    assert judge_response(a_spec(), answer(503, headers=PATIENT), asks_to_wait=True) is Verdict.WAIT
    assert judge_response(a_spec(), answer(503, headers={"retry-after": "0"})) is Verdict.RETRY
    assert judge_response(a_spec(), answer(503)) is Verdict.RETRY


@pytest.mark.parametrize("status", [429, 503])
def test_with_a_policy_each_retry_code_spends_a_retry_even_the_default_policy_itself(status: int) -> None:
    spec = a_spec(retry_policy=RetryPolicy())
    assert judge_response(spec, answer(status, headers=PATIENT), asks_to_wait=True) is Verdict.RETRY


def test_a_policy_of_ones_own_replaces_both_lists() -> None:
    spec = a_spec(retry_policy=RetryPolicy(retry_codes=frozenset({418}), reroute_codes=frozenset({404})))
    verdicts = [judge_response(spec, answer(status)) for status in (418, 404, 429, 503, 500)]
    assert verdicts == [Verdict.RETRY, Verdict.REROUTE, Verdict.END, Verdict.END, Verdict.END]


def test_a_code_in_both_lists_is_retried_where_it_is() -> None:
    both = frozenset({500})
    spec = a_spec(retry_policy=RetryPolicy(retry_codes=both, reroute_codes=both))
    assert judge_response(spec, answer(500)) is Verdict.RETRY


def test_a_success_is_one_even_if_a_policy_lists_its_code() -> None:
    spec = a_spec(retry_policy=RetryPolicy(retry_codes=frozenset({200})))
    assert judge_response(spec, answer(200)) is Verdict.SUCCESS


@pytest.mark.parametrize("written", [True, False])
@pytest.mark.parametrize("fault", [*UNWRITTEN, Fault.TIMEOUT, Fault.BROKEN])
def test_connection_errors_and_timeouts_reroute(fault: Fault, written: bool) -> None:
    assert judge_fault(a_spec(), fault, written=written) is Verdict.REROUTE


@pytest.mark.parametrize("fault", [Fault.NOT_ALLOWED, Fault.INVALID])
def test_what_can_never_work_is_not_repeated(fault: Fault) -> None:
    assert judge_fault(a_spec(), fault, written=False) is Verdict.END
    assert judge_fault(AT_MOST_ONCE, fault, written=False) is Verdict.END


def test_an_attempt_lost_with_its_region_goes_again_and_spends_nothing() -> None:
    assert judge_fault(a_spec(), Fault.LOST, written=True) is Verdict.WAIT


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.BROKEN, Fault.LOST])
def test_at_most_once_gives_up_where_nobody_can_know(fault: Fault) -> None:
    assert judge_fault(AT_MOST_ONCE, fault, written=True) is Verdict.UNKNOWN


@pytest.mark.parametrize("fault", UNWRITTEN)
def test_at_most_once_repeats_what_failed_before_its_first_byte(fault: Fault) -> None:
    assert judge_fault(AT_MOST_ONCE, fault, written=False) is Verdict.REROUTE


@pytest.mark.parametrize("status", [500, 502, 504])
def test_at_most_once_moves_no_leg_that_was_answered(status: int) -> None:
    assert judge_response(AT_MOST_ONCE, answer(status)) is Verdict.END


@pytest.mark.parametrize("status", [429, 503])
def test_at_most_once_repeats_what_was_answered_with_a_retry_code(status: int) -> None:
    assert judge_response(AT_MOST_ONCE, answer(status)) in {Verdict.WAIT, Verdict.RETRY}


@pytest.mark.parametrize(
    ("repeats", "middle_ms"), [(0, 1_000), (1, 2_000), (4, 16_000), (9, 300_000), (10**6, 300_000)]
)
def test_the_backoff_doubles_from_a_second_up_to_five_minutes(repeats: int, middle_ms: int) -> None:
    assert backoff_ms(repeats, None, 0.5) == middle_ms
    assert backoff_ms(repeats, None, 0.0) == 0.75 * middle_ms
    assert backoff_ms(repeats, None, 0.999_999) <= 1.25 * middle_ms


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_retry_after_is_never_undercut(jitter: float) -> None:
    assert 7_000 <= backoff_ms(12, 7.0, jitter) <= 7_000 * 1.13


def test_retry_after_holds_a_job_for_a_day_at_most() -> None:
    assert backoff_ms(0, 1e12, 0.0) == 24 * 3600 * 1000


@pytest.mark.parametrize("over", [None, 0.0, -5.0])
def test_a_wait_that_does_not_lie_ahead_is_none(over: float | None) -> None:
    assert [backoff_ms(repeats, over, 0.5) for repeats in range(4)] == [1_000, 2_000, 4_000, 8_000]


def test_whoever_is_refused_again_waits_the_longer_of_what_it_is_told_and_its_backoff() -> None:
    assert backoff_ms(0, 0.1, 0.0) == 100
    assert backoff_ms(4, 0.1, 0.5, again=True) == 16_000
    assert backoff_ms(1, 60.0, 0.0, again=True) == 60_000
