import pytest

from orchestrator.domain.requests.path_class import path_class


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h/ok", "GET /ok"),
        ("https://h", "GET /"),
        ("https://h?x=/a/b#/c", "GET /"),
        ("http://user:p@h:81/a#/b", "GET /a"),
        ("https://h/orders/17?x=1", "GET /orders/*"),
        ("https://h/api/v1/users/9f86d081884c7d65/orders", "GET /api/v1/users/*/orders"),
        ("https://h/u/123e4567-e89b-12d3-a456-426614174000", "GET /u/*"),
        ("https://h/job_1763674210055_853341", "GET /*"),
        ("https://h/bad1", "GET /bad1"),
        ("https://h/" + "x" * 200, "GET /*"),
        ("https://h" + "/deep" * 50, "GET /" + "/".join(["deep"] * 12)),
    ],
)
def test_a_class_is_a_path_without_what_varies(url: str, path: str) -> None:
    assert path_class("GET", url) == path


def test_equal_classes_are_one_object() -> None:
    assert path_class("GET", "https://h/orders/1001") is path_class("GET", "https://g/orders/1002")
