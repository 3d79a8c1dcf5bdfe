"""Products of limits: what, how many, how large, and the budget that bounds it.

Every limit that a customer's bytes or numbers meet stands in one of the rows below, or is named as one that
multiplies nothing. A limit that is added and stands nowhere fails here, as do budgets of so many bytes that
a process could grow by more than it may.
"""

import math
from dataclasses import dataclass, fields

import pytest

from orchestrator.adapters.http import head_room, incoming, large_answers
from orchestrator.adapters.http.protocol import (
    CONNECTIONS_MOST,
    HEAD_BYTES_MOST,
    HEAD_LINES_MOST,
    PIPELINED_MOST,
)
from orchestrator.core.jobs import held_jobs, job_cache, kept_answers
from orchestrator.core.regions import peer, peers
from orchestrator.core.targets import answer_intake, marker
from orchestrator.core.webhooks import delivery_room, dispatcher, endpoint_queues
from orchestrator.domain import mail_room
from orchestrator.domain.byte_budget import KIB, LARGE_BYTES, MIB, TLS_COSTS
from orchestrator.domain.exchange import LINE_COSTS, RESPONSE_BYTES_MOST, HttpRequest
from orchestrator.domain.execution.run import FANOUT_BYTES, LAST_SEEN_BYTES
from orchestrator.domain.health.routing import ATTEMPTS_CREDIT
from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.messages import codec
from orchestrator.settings import Settings
from orchestrator.transport import mailbox, tcp_exchange
from regions.egress import answer_room, idle, spares
from regions.egress.client import STATUS_BODY_BYTES_MOST
from regions.egress.head import HEAD_BYTES_MOST as HEAD_BYTES_MOST_OF_ANSWER
from regions.webhooks import TIMEOUT_MS

GROWS_BY_MOST = 256 * MIB
BOUNDS, SETTINGS = SubmissionBounds(), Settings()
BASE64_TIMES = 4 / 3
ESCAPED_TIMES = 2
"""What JSON makes of text at most: see tests/unit/domain/results/test_report.py."""
ANSWER_BYTES = RESPONSE_BYTES_MOST + HEAD_BYTES_MOST_OF_ANSWER
RESULT_BYTES = ESCAPED_TIMES * RESPONSE_BYTES_MOST + BOUNDS.metadata_bytes
REQUEST_BYTES = BOUNDS.body_bytes + BOUNDS.url_bytes + BOUNDS.header_bytes + BOUNDS.headers * LINE_COSTS
TLS_BYTES = 512 * KIB
"""Of a connection within uvloop's TLS: 46 KiB as it comes about, 256 to read into, and what is undeciphered
(499 in all, measured).
"""
LARGEST_RESULT_BYTES = ESCAPED_TIMES * FANOUT_BYTES + RESULT_BYTES
DELIVERED_BYTES = delivery_room.DELIVERY_BYTES + LARGEST_RESULT_BYTES - delivery_room.DELIVERY_BYTES // 2
"""A result of more than half the budget counts as its half; there is one: see test_delivery_room.py."""
RECORD_BYTES = 17 * KIB
"""Of TLS at most, with what it is wrapped in."""
BEGINNING_BYTES = max(2 * answer_room.FREE_BYTES, answer_room.FREE_BYTES + 2 * RECORD_BYTES, LARGE_BYTES)
"""What has no room, and as much that was read beyond it: within TLS a record, and one that is not whole. Or,
once that is all, a small answer on its way.
"""
REGIONS_OF_A_MACHINE = len(SETTINGS.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a customer can ask for is ``times`` of ``bytes_each``; ``budget`` is what is held of it at once,
    in the process ``where``. ``limits`` names the settings and bounds that are multiplied; ``again``: the
    budget is that of the row before.
    """

    what: str
    where: str
    times: float
    bytes_each: float
    budget: float
    limits: tuple[str, ...]
    again: bool = False


PRODUCTS = (
    Product(
        what="submissions that are read and worked on",
        where="shard",
        times=BOUNDS.open_jobs,
        bytes_each=incoming.COPIES * BOUNDS.body_bytes,
        budget=incoming.INCOMING_BYTES,
        limits=("body_bytes", "open_jobs", "max_body_bytes", "max_open_jobs"),
    ),
    Product(
        what="batches",
        where="shard",
        times=BOUNDS.batch_jobs,
        bytes_each=incoming.COPIES * BOUNDS.batch_bytes / BOUNDS.batch_jobs,
        budget=incoming.INCOMING_BYTES,
        limits=("batch_bytes", "batch_jobs", "max_batch_bytes", "max_batch_jobs"),
        again=True,
    ),
    Product(
        what="specs of jobs that were just accepted",
        where="shard",
        times=job_cache.FRESH_JOBS,
        bytes_each=BOUNDS.jobs * (BOUNDS.header_bytes + BOUNDS.url_bytes) + BOUNDS.metadata_bytes,
        budget=job_cache.FRESH_BYTES,
        limits=(
            "jobs",
            "chain_depth",
            "headers",
            "header_bytes",
            "url_bytes",
            "metadata_bytes",
            "max_chain_jobs",
            "max_chain_depth",
            "max_headers",
            "max_header_bytes",
            "max_url_bytes",
            "max_metadata_bytes",
        ),
    ),
    Product(
        what="jobs under way that wait for a retry, or for their turn: bodies, headers, chains and all",
        where="shard",
        times=BOUNDS.open_jobs,
        bytes_each=BOUNDS.body_bytes + held_jobs.JOB_COSTS,
        budget=held_jobs.HELD_BYTES,
        limits=(),
    ),
    Product(
        what="large bodies of jobs under way, of which nothing is being sent",
        where="shard",
        times=BOUNDS.open_jobs,
        bytes_each=BOUNDS.batch_bytes,
        budget=job_cache.FRESH_BYTES,
        limits=(),
        again=True,
    ),
    Product(
        what="requests that may be sent once, and wait for their marks",
        where="shard",
        times=BOUNDS.open_jobs,
        bytes_each=REQUEST_BYTES,
        budget=REGIONS_OF_A_MACHINE * (peer.BYTES_CREDIT / marker.COUNTED_TIMES + REQUEST_BYTES),
        limits=(),
    ),
    Product(
        what="large answers that come from executors, and their results until they are on disk",
        where="shard",
        times=ATTEMPTS_CREDIT * REGIONS_OF_A_MACHINE,
        bytes_each=answer_intake.COPIES * RESULT_BYTES,
        budget=answer_intake.ANSWERS_BYTES,
        limits=("max_response_bytes",),
    ),
    Product(
        what="fragments of answers, until these are whole",
        where="shard",
        times=ATTEMPTS_CREDIT * peers.NODES_MOST,
        bytes_each=ANSWER_BYTES,
        budget=codec.PARTIAL_BYTES_MOST,
        limits=(),
        again=True,
    ),
    Product(
        what="large results on their way to senders, until all of each has arrived",
        where="shard",
        times=BOUNDS.open_jobs * BOUNDS.webhooks,
        bytes_each=answer_intake.COPIES * RESULT_BYTES,
        budget=answer_intake.ANSWERS_BYTES,
        limits=(),
        again=True,
    ),
    Product(
        what="requests and small deliveries that wait to be sent to nodes, or are on their way there",
        where="shard",
        times=ATTEMPTS_CREDIT * REGIONS_OF_A_MACHINE,
        bytes_each=REQUEST_BYTES,
        budget=mail_room.MAIL_BYTES + REQUEST_BYTES,
        limits=(),
    ),
    Product(
        what="answers that jobs under way keep",
        where="shard",
        times=BOUNDS.open_jobs,
        bytes_each=max(FANOUT_BYTES, BOUNDS.jobs * RESPONSE_BYTES_MOST),
        budget=kept_answers.KEPT_BYTES,
        limits=("regions", "max_regions", "repeats", "max_repeats"),
    ),
    Product(
        what="results for queued deliveries",
        where="shard",
        times=BOUNDS.open_jobs * BOUNDS.webhooks,
        bytes_each=LARGE_BYTES,
        budget=endpoint_queues.WAITING_BYTES,
        limits=("webhooks", "max_webhooks"),
    ),
    Product(
        what="results that are looked at, and pages of lists",
        where="shard",
        times=BOUNDS.streams,
        bytes_each=RESULT_BYTES,
        budget=large_answers.SHOWN_BYTES,
        limits=("streams", "max_streams"),
    ),
    Product(
        what="pieces of results for slow readers",
        where="shard",
        times=10_000,
        bytes_each=large_answers.SOCKET_BYTES,
        budget=large_answers.SENT_BYTES,
        limits=(),
    ),
    Product(
        what="connections, and heads of requests on them: nobody needs a key for these",
        where="shard's door",
        times=CONNECTIONS_MOST * (1 + PIPELINED_MOST),
        bytes_each=head_room.REQUEST_COSTS + HEAD_BYTES_MOST + HEAD_LINES_MOST * head_room.LINE_COSTS,
        budget=CONNECTIONS_MOST * (head_room.CONNECTION_COSTS + head_room.FREE_BYTES) + head_room.HEADS_BYTES,
        limits=(),
    ),
    Product(
        what="connections of those who have not said yet who they are, in their TLS handshakes too",
        where="agents' door",
        times=tcp_exchange.STRANGERS_MOST,
        bytes_each=TLS_BYTES,
        budget=tcp_exchange.STRANGERS_MOST * TLS_BYTES,
        limits=(),
    ),
    Product(
        what="results at their senders",
        where="webhook actor",
        times=BOUNDS.open_jobs * SETTINGS.webhook_max_concurrent * BOUNDS.webhooks,
        bytes_each=RESULT_BYTES,
        budget=DELIVERED_BYTES,
        limits=("webhook_max_concurrent",),
    ),
    Product(
        what="answers of receivers that are being read",
        where="webhook actor",
        times=delivery_room.DELIVERY_BYTES // delivery_room.DELIVERY_COSTS,
        bytes_each=STATUS_BODY_BYTES_MOST + HEAD_BYTES_MOST_OF_ANSWER,
        budget=answer_room.ANSWER_BYTES + answer_room.AHEAD_MOST * ANSWER_BYTES,
        limits=(),
    ),
    Product(
        what="answers, heads and bodies, that are being read, wait for the shard or are on their way to it",
        where="executor",
        times=ATTEMPTS_CREDIT,
        bytes_each=ANSWER_BYTES,
        budget=answer_room.ANSWER_BYTES + answer_room.AHEAD_MOST * ANSWER_BYTES,
        limits=(),
    ),
    Product(
        what="beginnings of answers, what has come of those that are not read on, and small whole ones",
        where="executor",
        times=ATTEMPTS_CREDIT,
        bytes_each=BEGINNING_BYTES,
        budget=ATTEMPTS_CREDIT * BEGINNING_BYTES,
        limits=(),
    ),
    Product(
        what="requests at an executor, their TLS connections, and the rest of the last one that goes there",
        where="executor",
        times=ATTEMPTS_CREDIT,
        bytes_each=REQUEST_BYTES + TLS_COSTS,
        budget=peer.BYTES_CREDIT + REQUEST_BYTES + TLS_COSTS,
        limits=(),
    ),
    Product(
        what="results at an executor, for webhooks that leave from its region, and what receivers answer",
        where="executor",
        times=BOUNDS.open_jobs * SETTINGS.webhook_max_concurrent * BOUNDS.webhooks,
        bytes_each=RESULT_BYTES,
        budget=DELIVERED_BYTES,
        limits=("webhook_max_concurrent",),
    ),
)
PRODUCTS += tuple(
    Product(
        what=f"connections that lie in the pool of {where}",
        where=where,
        # One for each attempt of some seconds, each to another target.
        times=2 * ATTEMPTS_CREDIT,
        bytes_each=idle.CONNECTION_COSTS + TLS_COSTS,
        budget=idle.IDLE_BYTES,
        limits=(),
    )
    for where in ("webhook actor", "executor")
)
PRODUCTS += tuple(
    Product(
        what=f"connections that {where} makes ahead, until they lie in its pool",
        where=where,
        times=ATTEMPTS_CREDIT,
        bytes_each=idle.CONNECTION_COSTS + TLS_COSTS,
        budget=spares.DIALLED_MOST * (idle.CONNECTION_COSTS + TLS_COSTS),
        limits=(),
    )
    for where in ("webhook actor", "executor")
)
MULTIPLIES_NOTHING = {
    # Numbers of a pace, of days and seconds, of places and names: they hold no bytes.
    "host",
    "port",
    "metrics_bind",
    "agents_bind",
    "nodes_port",
    "tls_cert",
    "tls_key",
    "data_dir",
    "regions",
    "allow_private_targets",
    "allow_targets",
    "drain_timeout_s",
    "max_json_depth",
    "json_depth",
    "max_retry_at_days",
    "retry_at_ahead_ms",
    "default_rps",
    "default_max_concurrent",
    "domains_file",
    "keep_days",
    "history_days",
    "strict_down_s",
    "webhook_offsets_s",
    "webhook_jitter",
    "redelivery_rps",
    "many_jobs_rps",
    # Lines of the log wait nowhere; spans in the exporter's queue, 2,048 of them (OTEL_BSP_MAX_QUEUE_SIZE).
    "log_format",
    "log_stdout",
    "tracing",
}


def named() -> set[str]:
    return {name for product in PRODUCTS for name in product.limits}


@pytest.mark.parametrize("holder", [Settings, SubmissionBounds])
def test_every_limit_stands_in_a_row_or_multiplies_nothing(holder: type) -> None:
    limits = {field.name for field in fields(holder)}

    assert limits - named() - MULTIPLIES_NOTHING == set()


def test_no_row_names_a_limit_that_is_not_there() -> None:
    known = {field.name for holder in (Settings, SubmissionBounds) for field in fields(holder)}

    assert (named() | MULTIPLIES_NOTHING) - known == set()


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.what)
def test_what_a_product_may_take_is_bounded(product: Product) -> None:
    asked = product.times * product.bytes_each

    assert min(asked, product.budget) <= GROWS_BY_MOST / 2
    # A budget that is never reached would bound nothing.
    assert asked >= min(product.budget, asked)
    assert math.isfinite(product.budget)


@pytest.mark.parametrize("where", ["shard", "webhook actor", "executor"])
def test_all_of_a_process_may_be_full_at_once(where: str) -> None:
    budgets = {product.what: product.budget for product in PRODUCTS if product.where == where}
    again = {product.what for product in PRODUCTS if product.again}

    assert sum(budget for what, budget in budgets.items() if what not in again) <= GROWS_BY_MOST


def test_a_result_alone_fits_into_every_budget_that_it_passes() -> None:
    budgets = (
        large_answers.SHOWN_BYTES,
        answer_intake.ANSWERS_BYTES / answer_intake.COPIES,
        delivery_room.DELIVERY_BYTES,
    )
    # A budget counts a piece of more than its half as half of it.
    assert min(budgets) / 2 >= RESULT_BYTES
    assert min(budgets) >= FANOUT_BYTES * BASE64_TIMES + RESULT_BYTES


def test_what_a_mailbox_adds_is_bounded_by_what_it_carries() -> None:
    assert mailbox.BATCH_BYTES * mailbox.BATCHES_UNDER_WAY <= MIB
    assert codec.FRAGMENT_BYTES <= LARGE_BYTES
    assert LAST_SEEN_BYTES <= LARGE_BYTES
    assert TIMEOUT_MS / 1000 <= dispatcher.EXPECT_WITHIN_S


def test_what_a_receiver_answers_is_within_what_its_delivery_costs() -> None:
    assert 2 * answer_room.BRIEF_FREE_BYTES < delivery_room.DELIVERY_COSTS


def test_a_request_over_https_counts_its_connection_at_its_node() -> None:
    plain = HttpRequest(method="GET", url="http://target.test/")
    within_tls = HttpRequest(method="GET", url="HTTPS://target.test/")

    assert plain.size_at_node == plain.size
    assert within_tls.size_at_node == within_tls.size + TLS_COSTS


def test_as_many_attempts_go_to_an_executor_over_https_as_without_it() -> None:
    assert ATTEMPTS_CREDIT * (TLS_COSTS + KIB) <= peer.BYTES_CREDIT


def test_the_largest_request_goes_to_an_executor_and_the_next_one_after_it() -> None:
    assert REQUEST_BYTES < peer.BYTES_CREDIT / 2
