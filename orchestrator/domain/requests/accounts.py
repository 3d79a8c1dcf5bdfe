"""Accounts at a target: whose budget a request is paid from, and in which fair queue it waits."""

import hashlib
from collections.abc import Iterable

from orchestrator.domain.ids import AccountId, CustomerId
from orchestrator.domain.requests.url_credentials import basic_authorization

AUTHORIZATION = "authorization"
CREDENTIALS = frozenset({AUTHORIZATION, "x-api-key", "api-key"})


def account_of(
    customer: CustomerId, account: str | None, headers: Iterable[tuple[str, str]], url: str
) -> AccountId | None:
    """Name the account at the target: by the job's ``account``, else by its credentials, in headers or
    the URL; None without both.

    Equal credentials are one account, whoever sends them; an ``account`` is its customer's own.
    """
    if account is not None:
        return _named("account", customer, account)
    credentials = sorted((name.lower(), value) for name, value in headers if name.lower() in CREDENTIALS)
    if (basic := basic_authorization(url)) and AUTHORIZATION not in dict(credentials):
        credentials.insert(0, (AUTHORIZATION, basic))
    if not credentials:
        return None
    return _named("credentials", *(part for pair in credentials for part in pair))


def _named(*parts: str) -> AccountId:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return AccountId(digest.hexdigest()[:32])
