"""The console in a real browser, before the real service."""

import re
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from bench.loopback import Reply, Site, running_site
from bench.service import Service, create_key
from tests.acceptance.conftest import Api, customer_of
from tests.acceptance.console_browser import PHONE, WIDE, Person, person, running_chromium
from tests.support.long import some_of

REST = (
    "/domains",
    "/webhooks",
    "/webhooks?customer=cust_console",
    "/regions",
    "/usage",
    "/usage?customer=cust_console",
    "/keys",
    "/audit",
    "/jobs/many/cancel?customer=cust_console",
    "/nothing",
)
"""Pages that are not named one by one."""
pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def operators_key(service: Service) -> str:
    return create_key(service.data_dir, "operators", None, "--role", "admin")


@pytest.fixture
def api(service: Service) -> Iterator[Api]:
    """A customer of these tests alone: what they list is theirs."""
    with customer_of(service, "cust_console") as api:
        yield api


@pytest.fixture
def customer(browser: Browser, service: Service, api: Api) -> Iterator[Person]:
    with person(browser, service.base_url) as somebody:
        somebody.open()
        somebody.sign_in(api.api_key)
        yield somebody
        assert somebody.complaints == []


@pytest.fixture
def operator(browser: Browser, service: Service, operators_key: str) -> Iterator[Person]:
    with person(browser, service.base_url) as somebody:
        somebody.open()
        somebody.sign_in(operators_key)
        yield somebody
        assert somebody.complaints == []


def slow_race(target: Site, path: str = "/charge", held: threading.Event | None = None) -> dict[str, object]:
    """Give the fields of a job whose three legs take their time, each another one, once they are let go."""
    url = target.on(path, *(Reply(after_s=after_s, held=held) for after_s in (1.6, 1.2, 2.0)))
    return {
        "url": f"{url}?order=7",
        "method": "POST",
        "body": '{"amount": 4200}',
        "headers": {"Authorization": "Bearer s3cret", "Content-Type": "application/json"},
        "regions": ["iad", "lax", "ord"],
        "metadata": {"order": 7},
    }


def test_a_key_is_asked_for_and_leads_back_to_the_page_that_was_asked_for(
    browser: Browser, service: Service, api: Api
) -> None:
    with person(browser, service.base_url) as somebody:
        somebody.page.goto(service.base_url)
        assert somebody.page.url.endswith("/console/sign-in?next=/console")
        somebody.open("/jobs?state=failed")
        somebody.sign_in(api.api_key)
        assert somebody.page.url.endswith("/console/jobs?state=failed")
        somebody.press("Sign out")
        somebody.open("/jobs")
        somebody.sees("Sign in to EZThrottle")


def test_a_race_is_watched_live_until_it_is_won(
    customer: Person, api: Api, target: Site, receiver: Site
) -> None:
    api.open_gate(target)
    watched = threading.Event()
    race = slow_race(target, held=watched)
    job_id = api.submit(**race, webhooks=[{"url": receiver.url("/orders")}])["job_id"]
    customer.open(f"/jobs/{job_id}")
    lanes = customer.page.get_by_role("listitem")
    expect(lanes.filter(has_text="running")).to_have_count(3)
    watched.set()
    expect(lanes.filter(has_text="won")).to_have_count(1)
    expect(lanes.filter(has_text="cancelled")).to_have_count(2)
    customer.sees("won: the first success")
    customer.sees("delivered")
    customer.photograph("race")


def test_filters_hold_together_and_need_no_reload(customer: Person, api: Api, target: Site) -> None:
    missing = api.run(url=target.on("/missing", Reply(status=404)))["job_id"]
    there = api.run(url=target.url("/there"))["job_id"]
    customer.open("/jobs")
    rows = customer.page.get_by_role("table").get_by_role("link")
    expect(rows.filter(has_text=there)).to_have_count(1)
    customer.page.get_by_role("checkbox", name="failed").check()
    expect(rows.filter(has_text=there)).to_have_count(0)
    expect(rows.filter(has_text=missing)).to_have_count(1)
    customer.page.get_by_label("Failed with").select_option("timeout")
    customer.sees("No job fits")
    assert re.search(r"state=failed.*code=timeout", customer.page.url)


def test_a_job_that_comes_is_listed_without_a_reload(customer: Person, api: Api, target: Site) -> None:
    api.run(url=target.url("/first"))
    customer.open("/jobs")
    later = api.submit(url=target.url("/later"))["job_id"]
    customer.sees(later)


def test_another_sites_form_does_nothing_though_the_browser_sends_the_cookie(
    customer: Person, api: Api, service: Service, target: Site
) -> None:
    job_id = api.submit(url=target.on("/hangs", Reply(after_s=30.0)))["job_id"]
    act = f"{service.base_url}/console/jobs/{job_id}/cancel"
    form = (
        f'<form method="post" action="{act}"><input name="token" value="x"><button>Win a car</button></form>'
    )
    evil = Reply(headers={"Content-Type": "text/html"}, body=form.encode())
    with running_site(evil) as site:
        customer.page.goto(site.url())
        customer.press("Win a car")
    customer.sees("another site's page: nothing was done")
    assert api.show(job_id)["state"] == "running"
    customer.open(f"/jobs/{job_id}")
    customer.press("Cancel")
    customer.sees("The job is cancelled.")
    customer.complaints.clear()


def test_a_customer_finds_no_job_of_anothers(
    browser: Browser, service: Service, api: Api, target: Site
) -> None:
    job_id = api.submit(url=target.url("/mine"))["job_id"]
    with customer_of(service, "cust_curious") as other, person(browser, service.base_url) as curious:
        curious.open(f"/jobs/{job_id}")
        curious.sign_in(other.api_key)
        curious.sees("there is no such job, or it is not yours")
        curious.open("/jobs?customer=cust_console")
        curious.sees("No job yet")


def test_the_keyboard_reaches_the_page_and_its_first_job(customer: Person, api: Api, target: Site) -> None:
    job_id = api.run(url=target.url("/by-keyboard"))["job_id"]
    customer.open("/jobs")
    customer.page.keyboard.press("Tab")
    expect(customer.page.get_by_text("Skip to the page")).to_be_focused()
    customer.page.keyboard.press("Enter")
    customer.page.get_by_role("link", name=job_id).focus()
    customer.page.keyboard.press("Enter")
    customer.sees("Its way")


@pytest.mark.parametrize(
    ("size", "dark"), some_of([(WIDE, False), (WIDE, True), (PHONE, False)], (WIDE, True), (PHONE, False))
)
def test_axe_finds_nothing_serious_on_any_page(
    browser: Browser,
    service: Service,
    operators_key: str,
    api: Api,
    target: Site,
    size: tuple[int, int],
    dark: bool,
) -> None:
    job_id = api.run(**slow_race(target) | {"regions": ["iad"]})["job_id"]
    with person(browser, service.base_url, size=size, dark=dark) as somebody:
        somebody.open()
        assert somebody.findings() == []
        somebody.sign_in(operators_key)
        for path in ("", "/jobs", f"/jobs/{job_id}", f"/domains/127.0.0.1:{target.port}", *REST):
            somebody.open(path)
            assert somebody.findings() == [], path
            assert somebody.page.evaluate("document.documentElement.scrollWidth") <= size[0], path


def test_all_jobs_that_a_filter_names_are_replayed_after_a_count_and_a_question(
    browser: Browser, service: Service, target: Site
) -> None:
    with customer_of(service, "cust_replaying") as owner, person(browser, service.base_url) as somebody:
        owner.open_gate(target)
        for number in range(3):
            owner.run(url=target.url("/again"), idempotent_key=f"again {number}")
        target.forget()
        somebody.open("/jobs?state=success")
        somebody.sign_in(owner.api_key)
        somebody.page.get_by_role("link", name="Replay them…").click()
        somebody.sees("Replay 4 jobs?")
        assert target.seen("/again") == []
        somebody.press("Replay 4")
        somebody.sees("4 replayed")
        target.wait(lambda seen: len(seen) == 3, "/again")
        assert somebody.complaints == []


def test_an_operator_finds_why_a_domain_is_slow_and_resets_it(
    operator: Person, api: Api, target: Site
) -> None:
    api.run(url=target.on("/slow", Reply(headers={"X-EZTHROTTLE-RPS": "0.5"})))
    operator.open("/domains")
    operator.page.get_by_role("link", name=f"127.0.0.1:{target.port}").click()
    operator.sees("held to 0.5 a second by")
    expect(operator.page.get_by_role("definition").first).to_have_text("0.5/s")
    operator.photograph("domain")
    operator.press("Reset")
    operator.sees("What was learned of it is forgotten.")
    expect(operator.page.get_by_role("definition").first).to_have_text("2/s")
    operator.page.get_by_role("link", name="Audit").click()
    operator.sees("domain.reset")


def test_a_receiver_that_fails_is_found_with_its_reason(customer: Person, api: Api, target: Site) -> None:
    with running_site(Reply(status=410)) as gone:
        job_id = api.submit(url=target.url("/told"), webhooks=[{"url": gone.url("/hook")}])["job_id"]
        api.delivered(job_id)
        customer.open("/webhooks")
        customer.sees("Failed for good")
        customer.sees(f"127.0.0.1:{gone.port}")
        customer.sees("410")
        customer.press("Redeliver all")
        customer.sees("The webhooks are sent again.")
        gone.wait(lambda seen: len(seen) == 2, "/hook")


def test_the_pages_that_the_docs_show(
    browser: Browser, service: Service, operators_key: str, api: Api, target: Site
) -> None:
    api.open_gate(target)
    api.run(**slow_race(target, "/shown"))
    for number in range(6):
        api.submit(url=target.url(f"/orders/{number}"))
    for dark in (False, True):
        with person(browser, service.base_url, dark=dark) as somebody:
            somebody.open("/jobs")
            somebody.sign_in(operators_key)
            somebody.sees("cust_console")
            somebody.photograph("jobs-dark" if dark else "jobs")
            somebody.open()
            somebody.sees("Latest jobs")
            somebody.photograph("overview-dark" if dark else "overview")
