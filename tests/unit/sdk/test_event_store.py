import threading

import pytest

from ezthrottle import EventStore


def test_the_handler_for_the_status_is_called_with_the_data() -> None:
    store, calls = EventStore(), list[tuple[str, object]]()
    for event in ("a", "b"):
        store.register_handler(
            event,
            on_success=lambda data: calls.append(("success", data)),
            on_failure=lambda data: calls.append(("failure", data)),
        )
    assert store.emit_event("a", "success", {"n": 1})
    assert store.emit_event("b", "failed", {"n": 2})
    assert calls == [("success", {"n": 1}), ("failure", {"n": 2})]


def test_an_event_is_handled_once() -> None:
    store, calls = EventStore(), list[object]()
    store.register_handler("a", on_success=calls.append)
    assert [store.emit_event("a", "success"), store.emit_event("a", "success")] == [True, False]
    assert calls == [None]


def test_an_event_is_handled_once_by_several_threads() -> None:
    store, calls, together = EventStore(), list[object](), threading.Barrier(8)
    store.register_handler("a", on_success=calls.append)

    def emit() -> None:
        together.wait(20)
        store.emit_event("a", "success")

    threads = [threading.Thread(target=emit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [None]


@pytest.mark.parametrize("status", ["failed", "cancelled", ""])
def test_a_status_without_a_handler_ends_the_event_all_the_same(status: str) -> None:
    store = EventStore()
    store.register_handler("a", on_success=lambda _: pytest.fail("not a success"))
    assert store.emit_event("a", status)
    assert store.pending_count() == 0


def test_a_handler_that_fails_is_logged_and_the_event_counts_as_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = EventStore()
    store.register_handler("a", on_success=lambda _: 1 / 0)
    assert store.emit_event("a", "success")
    assert "ZeroDivisionError" in caplog.text
    assert store.pending_count() == 0


def test_handlers_can_be_seen_replaced_and_removed() -> None:
    store, later = EventStore(), list[object]()
    store.register_handler("a", on_success=print)
    store.register_handler("a", on_success=later.append, metadata={"k": "v"})
    assert store.get_handler("a") == {
        "on_success": later.append,
        "on_failure": None,
        "metadata": {"k": "v"},
    }
    assert store.remove_handler("a") == {
        "on_success": later.append,
        "on_failure": None,
        "metadata": {"k": "v"},
    }
    assert (store.get_handler("a"), store.remove_handler("a"), store.pending_count()) == (None, None, 0)


def test_all_events_can_be_forgotten() -> None:
    store = EventStore()
    store.register_handler("a")
    store.register_handler("b")
    assert store.pending_count() == 2
    store.clear()
    assert store.pending_count() == 0
