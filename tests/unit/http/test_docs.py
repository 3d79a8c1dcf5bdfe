"""The page at /docs."""

import re

from tests.unit.http.gateway import Gateway


async def test_the_page_names_every_call_and_field(gateway: Gateway) -> None:
    response = await gateway.client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    described = (await gateway.client.get("/openapi.json")).json()
    assert "/docs" not in described["paths"]
    for path in described["paths"]:
        assert f"<code>{path}</code>" in response.text
    for field in ("webhook_quorum", "idempotent_key", "cursor", "wait", "new_secret"):
        assert f"<code>{field}</code>" in response.text


async def test_the_page_loads_nothing_from_anywhere(gateway: Gateway) -> None:
    response = await gateway.client.get("/docs")
    assert not re.search(r"<script|src=|@import|url\(|<link", response.text)
    assert re.findall(r'href="([^"]*)"', response.text) == ["openapi.json"]
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


async def test_every_part_of_a_path_is_described(gateway: Gateway) -> None:
    described = (await gateway.client.get("/openapi.json")).json()
    for path, methods in described["paths"].items():
        for operation in methods.values():
            told = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path)), path
