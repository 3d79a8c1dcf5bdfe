"""A client that publishes its jobs as Celery tasks: ``python -m bench.storm.publishing_client``."""

from collections.abc import Callable

from bench.storm.celery_tasks import call
from bench.storm.orders import Order, run_client, when_due


async def work(order: Order, begin: Callable[[], float]) -> None:
    """Publish each job when it comes. When it has ended, the target knows, and not this."""
    async for numbers in when_due(order, begin()):
        for number in numbers:
            call.delay(order.url(number))


if __name__ == "__main__":
    run_client(work)
