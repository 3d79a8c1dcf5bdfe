"""What waits in a process's mailboxes: bounded for all, and fair between peers."""

from orchestrator.domain.mail_room import TOLD_AT, MailRoom, MailShare


def fill(share: MailShare, size: int) -> int:
    """Post messages of a size for as long as they are let in; give how many bytes that were."""
    began = share.held
    while share.admits():
        share.take(size)
    return share.held - began


def test_one_peer_may_fill_half_of_it_and_another_finds_room_still() -> None:
    room = MailRoom(1_000)
    slow, other = MailShare(room), MailShare(room)
    assert fill(slow, 10) == 500
    assert fill(other, 10) == 250


def test_all_together_have_no_more_than_there_is_and_a_message_however_many_they_are() -> None:
    room = MailRoom(1_000)
    for _ in range(200):
        fill(MailShare(room), 10)
    assert room.used <= 1_000


def test_who_was_told_that_there_is_no_room_is_called_once_when_some_is_back() -> None:
    room = MailRoom(1_000)
    share, told = MailShare(room), []
    share.on_room = lambda: told.append(share.held)
    fill(share, 10)
    while share.held:
        share.give_back(10)
    assert len(told) == 1
    assert told[0] <= TOLD_AT * 1_000
    assert told[0] > 0, "its way would have run dry"


def test_room_that_another_gives_back_is_told_of_too() -> None:
    room = MailRoom(1_000)
    full, waiting, told = MailShare(room), MailShare(room), []
    waiting.on_room = lambda: told.append(True)
    full.take(1_000)
    assert not waiting.admits()
    full.give_back(1_000)
    assert told == [True]
    assert waiting.admits()


def test_who_was_not_refused_is_not_called() -> None:
    share, told = MailShare(MailRoom(1_000)), []
    share.on_room = lambda: told.append(True)
    share.take(10)
    share.give_back(10)
    assert told == []
