from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.cluster.in_order import FIRST, InOrder, Numbered, Numbering
from tests.support.long import drawn

TOPICS = st.sampled_from("abc")


@st.composite
def sent(draw: st.DrawFn) -> list[Numbered[str, int]]:
    """Some topics' messages; those of "c" end with a last word."""
    numbering: Numbering[str] = Numbering()
    topics = [*draw(st.lists(TOPICS, max_size=12)), "c"]
    made = []
    for place, topic in enumerate(topics):
        number, after = numbering.next(topic)
        made.append(Numbered(number, after, topic, number, last=place == len(topics) - 1))
    return made


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Numbered[str, int]], list[Numbered[str, int]]]:
    """What was sent, and how it comes: all of it, in any order, some of it again."""
    messages = draw(sent())
    again = draw(st.lists(st.sampled_from(messages), max_size=8))
    return messages, draw(st.permutations([*messages, *again]))


@given(both=arrivals())
@settings(max_examples=drawn(500), deadline=None)
def test_each_topic_comes_in_its_order_once_and_nothing_is_remembered(
    both: tuple[list[Numbered[str, int]], list[Numbered[str, int]]],
) -> None:
    messages, coming = both
    taken, in_order = [], InOrder[str, int]()
    for message in coming:
        taken += in_order.take(message)
    assert len(taken) == len(set(taken))
    by_topic = defaultdict(list)
    for message in messages:
        by_topic[message.topic].append(message.number)
    for topic, numbers in by_topic.items():
        told = [number for number in taken if number in numbers]
        # A last word may have overtaken others: these do not count any more.
        assert told == sorted(told)
        assert told == numbers if topic != "c" else told[-1] == numbers[-1]
    assert len(in_order) == 0


def test_a_last_word_does_not_wait_and_what_it_has_overtaken_counts_no_more() -> None:
    in_order = InOrder[str, str]()
    assert in_order.take(Numbered(2, 1, "a", "second")) == []
    assert in_order.take(Numbered(3, 2, "a", "last", last=True)) == ["last"]
    assert in_order.take(Numbered(1, FIRST, "a", "first")) == []
    assert len(in_order) == 0


def test_one_topic_holds_up_no_other() -> None:
    in_order = InOrder[str, str]()
    assert in_order.take(Numbered(2, 1, "a", "too early")) == []
    assert in_order.take(Numbered(3, FIRST, "b", "another's")) == ["another's"]
    assert in_order.take(Numbered(1, FIRST, "a", "first")) == ["first", "too early"]
