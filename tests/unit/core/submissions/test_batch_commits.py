"""What of a batch shares a commit: others wait for it."""

from orchestrator.core.submissions.batch_commits import COMMIT_BYTES, COMMIT_MOST, commits_of
from orchestrator.domain.errors import FieldError, InvalidFields
from orchestrator.domain.jobs.job import held_bytes
from tests.unit.domain.builders import a_spec

BAD = InvalidFields([FieldError("url", "is missing")])


def test_a_batch_of_small_jobs_is_cut_by_their_number() -> None:
    specs = [a_spec() for _ in range(2 * COMMIT_MOST + 1)]
    assert [len(some) for some in commits_of(specs)] == [COMMIT_MOST, COMMIT_MOST, 1]


def test_a_batch_of_large_jobs_is_cut_by_their_bytes() -> None:
    specs = [a_spec(body="x" * (COMMIT_BYTES // 5)) for _ in range(20)]
    commits = list(commits_of(specs))
    assert [spec for some in commits for spec in some] == specs
    assert {len(some) for some in commits} == {4}
    assert all(sum(map(held_bytes, some)) <= COMMIT_BYTES for some in commits)


def test_a_job_that_is_larger_than_a_commit_has_one_of_its_own() -> None:
    small, large = a_spec(), a_spec(body="x" * 2 * COMMIT_BYTES)
    assert list(commits_of([small, large, small, small])) == [[small], [large], [small, small]]


def test_what_was_refused_stays_in_its_place() -> None:
    assert list(commits_of([BAD, a_spec(), BAD])) == [[BAD, a_spec(), BAD]]


def test_an_empty_batch_needs_no_commit() -> None:
    assert list(commits_of([])) == []
