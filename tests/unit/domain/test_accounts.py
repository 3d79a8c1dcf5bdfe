import pytest

from orchestrator.domain.accounts import account_of
from orchestrator.domain.ids import CustomerId

A, B = CustomerId("cust_a"), CustomerId("cust_b")
KEY = (("Authorization", "Bearer sk_test_1"),)


def test_without_credentials_there_is_no_account() -> None:
    assert account_of(A, None, (("Accept", "*/*"),)) is None


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key"])
def test_credentials_name_an_account_however_the_header_is_written(name: str) -> None:
    assert account_of(A, None, ((name, "secret"),)) == account_of(A, None, ((name.upper(), "secret"),))


def test_equal_credentials_are_one_account_whoever_sends_them() -> None:
    assert account_of(A, None, KEY) == account_of(B, None, KEY)


def test_other_credentials_are_another_account() -> None:
    keys = [KEY, (("Authorization", "Bearer sk_test_2"),), (("X-API-Key", "Bearer sk_test_1"),)]
    assert len({account_of(A, None, headers) for headers in keys}) == 3


def test_a_named_account_is_its_customers_own_and_wins_over_credentials() -> None:
    named = account_of(A, "org-1", KEY)
    assert named == account_of(A, "org-1", ())
    assert named not in (account_of(B, "org-1", KEY), account_of(A, None, KEY), account_of(A, "org-2", KEY))


def test_an_account_does_not_show_the_credentials() -> None:
    assert "sk_test" not in str(account_of(A, None, KEY))
