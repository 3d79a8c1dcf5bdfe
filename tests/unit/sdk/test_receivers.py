"""The helpers for Flask, FastAPI and Django, in applications of the real frameworks."""

import asyncio
import hashlib
import hmac
import inspect
import json
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

import django
import httpx
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import JsonResponse
from django.urls import clear_url_caches, path
from fastapi import Depends, FastAPI, Request
from flask import Flask

import ezthrottle.django
import ezthrottle.fastapi
import ezthrottle.flask

SECRET, OLD_SECRET = "a_secret_of_16_or_more", "the_secret_before_that"
DELIVERY = {"job_id": "job_1_2", "status": "success"}

Handler = Callable[[dict[str, Any]], Any]
Application = Callable[[Handler], httpx.AsyncBaseTransport]


def _flask(handler: Handler) -> httpx.AsyncBaseTransport:
    app = Flask(__name__)

    @app.post("/webhook")
    @ezthrottle.flask.verified_webhook(SECRET, OLD_SECRET)
    def paid(delivery: dict[str, Any]) -> Any:
        return handler(delivery)

    return _Synchronous(httpx.WSGITransport(app, raise_app_exceptions=False))


def _fastapi(handler: Handler) -> httpx.AsyncBaseTransport:
    app = FastAPI()
    verified = ezthrottle.fastapi.VerifiedWebhook(SECRET, OLD_SECRET)

    @app.post("/webhook")
    async def paid(delivery: Annotated[dict[str, Any], Depends(verified)]) -> Any:
        return handler(delivery) or {"status": "received"}

    return httpx.ASGITransport(app, raise_app_exceptions=False)


def _django(handler: Handler) -> httpx.AsyncBaseTransport:
    @ezthrottle.django.verified_webhook(SECRET, OLD_SECRET)
    def paid(request: Any, delivery: dict[str, Any]) -> Any:
        return handler(delivery)

    _route(paid)
    return _Synchronous(httpx.WSGITransport(WSGIHandler(), raise_app_exceptions=False))


def _django_async(handler: Handler) -> httpx.AsyncBaseTransport:
    @ezthrottle.django.verified_webhook(SECRET, OLD_SECRET)
    async def paid(request: Any, delivery: dict[str, Any]) -> Any:
        return handler(delivery)

    _route(paid)
    return httpx.ASGITransport(ASGIHandler(), raise_app_exceptions=False)


class _Synchronous(httpx.AsyncBaseTransport):
    def __init__(self, transport: httpx.WSGITransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        given = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        response = self._transport.handle_request(given)
        return httpx.Response(response.status_code, headers=response.headers, content=response.read())


def _route(view: Any) -> None:
    routes = ModuleType("routes")
    routes.__dict__["urlpatterns"] = [path("webhook", view)]
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"], MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"], LOGGING_CONFIG=None
        )
        django.setup()
    sys.modules["routes"] = routes
    settings.ROOT_URLCONF = "routes"
    clear_url_caches()


@pytest.fixture
def handled() -> list[dict[str, Any]]:
    return []


@pytest.fixture(params=[_flask, _fastapi, _django, _django_async])
def application(request: pytest.FixtureRequest) -> Application:
    make: Application = request.param
    return make


def _signed(body: bytes, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    at = int(time.time()) - age_s
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-EZThrottle-Signature": f"t={at},v1={signature}", "Content-Type": "application/json"}


async def _post(
    transport: httpx.AsyncBaseTransport, body: bytes, headers: dict[str, str], method: str = "POST"
) -> httpx.Response:
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example.com") as http:
        return await http.request(method, "/webhook", content=body, headers=headers)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
async def test_a_signed_delivery_is_handed_to_the_view(
    application: Application, handled: list[Any], secret: str
) -> None:
    body = json.dumps(DELIVERY).encode()
    response = await _post(application(handled.append), body, _signed(body, secret))
    assert (response.status_code, response.json()) == (200, {"status": "received"})
    assert handled == [DELIVERY]


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (dict, "no_signature_header"),
        (lambda: _signed(b"something else"), "signature_mismatch"),
        (lambda: _signed(json.dumps(DELIVERY).encode(), "a_secret_of_nobody_here"), "signature_mismatch"),
        (lambda: _signed(json.dumps(DELIVERY).encode(), age_s=400_000), "timestamp_expired"),
    ],
)
async def test_without_proof_the_view_is_not_called(
    application: Application, handled: list[Any], headers: Callable[[], dict[str, str]], reason: str
) -> None:
    # Signed now and not when tests are collected: a long run outlives a signature.
    response = await _post(application(handled.append), json.dumps(DELIVERY).encode(), headers())
    assert response.status_code == 401
    assert reason in response.text
    assert handled == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"\xff"])
async def test_what_is_signed_but_no_delivery_is_refused(
    application: Application, handled: list[Any], body: bytes
) -> None:
    response = await _post(application(handled.append), body, _signed(body))
    assert (response.status_code, handled) == (401, [])
    assert "not_a_delivery" in response.text


async def test_a_view_that_fails_asks_for_the_delivery_again(application: Application) -> None:
    body = json.dumps(DELIVERY).encode()
    response = await _post(application(lambda _: 1 / 0), body, _signed(body))
    assert response.status_code == 500


async def test_other_methods_are_not_allowed(application: Application, handled: list[Any]) -> None:
    response = await _post(application(handled.append), b"", _signed(b""), "GET")
    assert (response.status_code, handled) == (405, [])


async def test_the_views_own_answer_is_kept(application: Application) -> None:
    body = json.dumps(DELIVERY).encode()
    wrap = JsonResponse if application in {_django, _django_async} else dict
    response = await _post(application(lambda _: wrap({"mine": True})), body, _signed(body))
    assert response.json() == {"mine": True}


async def test_a_coroutine_view_of_flask_is_awaited(handled: list[Any]) -> None:
    app = Flask(__name__)

    @app.post("/webhook")
    @ezthrottle.flask.verified_webhook(SECRET)
    async def paid(delivery: dict[str, Any]) -> None:
        handled.append(delivery)

    body = json.dumps(DELIVERY).encode()
    await asyncio.to_thread(app.test_client().post, "/webhook", data=body, headers=_signed(body))
    assert handled == [DELIVERY]


def test_the_dependency_is_annotated_with_the_class_that_older_fastapis_need() -> None:
    signature = inspect.signature(ezthrottle.fastapi.VerifiedWebhook(SECRET))
    assert signature.parameters["request"].annotation is Request


@pytest.mark.parametrize(
    "receiver",
    [
        ezthrottle.flask.verified_webhook,
        ezthrottle.fastapi.VerifiedWebhook,
        ezthrottle.django.verified_webhook,
    ],
)
@pytest.mark.parametrize("secret", [None, ""])
def test_an_unset_secret_is_named_when_the_application_starts(receiver: Any, secret: Any) -> None:
    with pytest.raises(ValueError, match="secret is empty"):
        receiver(secret)
