import pytest

from orchestrator.domain.ids import CustomerId
from orchestrator.domain.requests.accounts import account_of

A, B = CustomerId("cust_a"), CustomerId("cust_b")
URL = "https://api.example.com/"
KEY = (("Authorization", "Bearer sk_test_1"),)


def test_without_credentials_there_is_no_account() -> None:
    assert account_of(A, None, (("Accept", "*/*"),), URL) is None


@pytest.mark.parametrize("name", ["Authorization", "authorization", "X-API-Key", "api-key", "API-Key"])
def test_credentials_name_an_account_however_the_header_is_written(name: str) -> None:
    assert account_of(A, None, ((name, "secret"),), URL) == account_of(
        A, None, ((name.upper(), "secret"),), URL
    )


def test_equal_credentials_are_one_account_whoever_sends_them() -> None:
    assert account_of(A, None, KEY, URL) == account_of(B, None, KEY, URL)


def test_other_credentials_are_another_account() -> None:
    keys = [KEY, (("Authorization", "Bearer sk_test_2"),), (("X-API-Key", "Bearer sk_test_1"),)]
    assert len({account_of(A, None, headers, URL) for headers in keys}) == 3


def test_a_named_account_is_its_customers_own_and_wins_over_credentials() -> None:
    named = account_of(A, "org-1", KEY, URL)
    assert named == account_of(A, "org-1", (), URL)
    assert named not in (
        account_of(B, "org-1", KEY, URL),
        account_of(A, None, KEY, URL),
        account_of(A, "org-2", KEY, URL),
    )


def test_an_account_does_not_show_the_credentials() -> None:
    assert "sk_test" not in str(account_of(A, None, KEY, URL))


def test_credentials_in_the_url_are_those_that_the_target_sees() -> None:
    basic = (("Authorization", "Basic dTpww6Q="),)
    account = account_of(A, None, basic, URL)
    assert account_of(A, None, (), "https://u:p%C3%A4@api.example.com/") == account
    assert account_of(A, None, basic, "https://other:x@api.example.com/") == account
    assert account_of(A, None, (), "https://other:x@api.example.com/") not in (account, None)
