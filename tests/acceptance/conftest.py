"""One real service for all acceptance tests, and sites on loopback that it calls."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.loopback import Reply, Site, running_site
from bench.published import published_python
from bench.service import Service, create_key, running_service

ENDS_WITHIN_S = 40


class Api:
    """What a customer does over HTTP."""

    def __init__(self, base_url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self.http = httpx.Client(base_url=base_url, headers=headers, timeout=ENDS_WITHIN_S + 20)
        self.api_key = api_key

    def post(self, **job: Any) -> httpx.Response:
        return self.http.post("/api/v1/jobs", json=job)

    def submit(self, **job: Any) -> dict[str, Any]:
        answer = self.post(**job)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        acknowledged: dict[str, Any] = answer.json()
        return acknowledged

    def show(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == httpx.codes.OK, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    def ended(self, job_id: str) -> dict[str, Any]:
        """Wait for a job's end."""
        answer = self.http.get(f"/api/v1/jobs/{job_id}", params={"wait": ENDS_WITHIN_S})
        shown: dict[str, Any] = answer.json()
        assert shown["state"] in ("success", "failed"), shown
        return shown

    def run(self, **job: Any) -> dict[str, Any]:
        """Submit a job and wait for its end."""
        return self.ended(self.submit(**job)["job_id"])

    def delivered(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has ended and no delivery of it is pending."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        self.ended(job_id)
        while _is_pending(shown := self.show(job_id)):
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)
        return shown

    def open_gate(self, target: Site) -> None:
        """Let a target name a high pace, so that none of its later requests waits for a permit."""
        assert self.run(url=target.url("/opens-the-gate"))["state"] == "success"


def _is_pending(shown: dict[str, Any]) -> bool:
    return any(delivery["state"] == "pending" for delivery in shown["timeline"]["deliveries"])


@contextlib.contextmanager
def customer_of(service: Service, name: str, role: str = "submit") -> Iterator[Api]:
    """Make a customer, or an operator."""
    api = Api(service.base_url, create_key(service.data_dir, name, None, "--role", role))
    with api.http:
        yield api


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that may call loopback: started once, for it takes its seconds."""
    with running_service(
        "--allow-private-targets", data_dir=Path(tmp_path_factory.mktemp("data"))
    ) as service:
        yield service


@pytest.fixture(scope="session")
def guarded_service() -> Iterator[Service]:
    """A service of one region as it is by default: it may call nothing on loopback.

    Its data directory lies where anybody may go: its own mode has to do. ``test_machine.py`` kills it.
    """
    with tempfile.TemporaryDirectory(prefix="ezt-open-") as directory:
        top = Path(directory)
        top.chmod(0o755)
        with running_service("--regions", "iad", data_dir=top / "data") as service:
            yield service


@pytest.fixture(scope="session")
def api(service: Service) -> Iterator[Api]:
    """A customer of the service."""
    with customer_of(service, "cust_acceptance") as api:
        yield api


@pytest.fixture
def target() -> Iterator[Site]:
    """A target that names a high pace in every answer that has no script of its own."""
    with running_site() as site:
        yield site


@pytest.fixture
def receiver() -> Iterator[Site]:
    """A receiver of webhooks."""
    with running_site(Reply()) as site:
        yield site


@pytest.fixture(scope="session")
def published() -> Path:
    """The interpreter of an environment that holds the published client and nothing of this project."""
    return published_python()
