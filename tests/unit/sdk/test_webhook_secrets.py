from typing import Any

import pytest

from ezthrottle import EZThrottle, NotFoundError

SECRETS = "/api/v1/webhook-secrets"
ROTATE = f"{SECRETS}/rotate"
OK = {"status": "ok", "message": "done"}
NEW = "a_new_secret_of_16"
OLD = "an_old_secret_of_16"


def test_a_secret_is_created(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", SECRETS, answer(200, OK))
    assert client.create_webhook_secret(NEW) == OK
    assert service.seen[0].json() == {"primary_secret": NEW}


def test_a_secret_is_created_beside_the_former_one(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", SECRETS, answer(200, OK))
    client.create_webhook_secret(NEW, OLD)
    assert service.seen[0].json() == {"primary_secret": NEW, "secondary_secret": OLD}


@pytest.mark.parametrize(
    ("method", "arguments", "named"),
    [
        ("create_webhook_secret", ["short"], "primary_secret"),
        ("create_webhook_secret", [NEW, "short"], "secondary_secret"),
        ("rotate_webhook_secret", ["short"], "new_secret"),
    ],
)
def test_a_short_secret_is_refused_by_name_before_it_is_sent(
    client: EZThrottle, service: Any, method: str, arguments: list[str], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        getattr(client, method)(*arguments)
    assert service.seen == []


def test_the_masked_secrets_are_returned(client: EZThrottle, service: Any, answer: Any) -> None:
    masked = {"customer_id": "cust_acme", "primary_secret": "a_ne****_16", "has_secondary": False}
    service.on("GET", SECRETS, answer(200, masked))
    assert client.get_webhook_secret() == masked


def test_without_a_secret_the_error_says_how_to_make_one(client: EZThrottle) -> None:
    with pytest.raises(NotFoundError, match=r"No webhook secrets configured.*create_webhook_secret"):
        client.get_webhook_secret()


def test_the_secrets_are_deleted(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("DELETE", SECRETS, answer(200, OK))
    assert client.delete_webhook_secret() == OK


def test_deleting_what_is_not_there_is_no_error(client: EZThrottle, service: Any, answer: Any) -> None:
    nothing = {"status": 404, "title": "Not Found", "error": "there are no webhook secrets"}
    service.on("DELETE", SECRETS, answer(404, nothing))
    assert client.delete_webhook_secret() == nothing


def test_rotation_leaves_the_former_secret_to_the_service(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", ROTATE, answer(200, OK))
    assert client.rotate_webhook_secret(NEW) == OK
    assert [(seen.path, seen.json()) for seen in service.seen] == [(ROTATE, {"new_secret": NEW})]


def test_rotation_without_a_former_secret_creates_the_first(
    client: EZThrottle, service: Any, answer: Any
) -> None:
    service.on("POST", SECRETS, answer(200, OK))
    assert client.rotate_webhook_secret(NEW) == OK
    assert service.seen[-1].json() == {"primary_secret": NEW}


def test_a_rotation_whose_answer_is_lost_is_sent_again(client: EZThrottle, service: Any, answer: Any) -> None:
    service.on("POST", ROTATE, answer(drop=True), answer(503), answer(200, OK))
    assert client.rotate_webhook_secret(NEW) == OK
    assert [seen.json() for seen in service.seen] == [{"new_secret": NEW}] * 3
