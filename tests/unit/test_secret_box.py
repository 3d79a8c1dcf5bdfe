import os
import stat
from pathlib import Path

import pytest

from orchestrator.adapters import secret_box
from orchestrator.adapters.secret_box import AesGcmBox, open_key_file

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_was_sealed_opens_in_its_context() -> None:
    box = AesGcmBox([OLD])
    for plain in (b"", b"a", os.urandom(100_000)):
        assert box.open(box.seal(plain, "cust|jobs|1|request"), "cust|jobs|1|request") == plain


def test_nothing_of_the_plain_text_shows() -> None:
    assert b"canary" not in AesGcmBox([OLD]).seal(b"canary" * 100, "context")


def test_equal_texts_are_sealed_differently() -> None:
    box = AesGcmBox([OLD])
    sealed = {box.seal(b"same", "context") for _ in range(1_000)}
    assert len(sealed) == 1_000


def test_two_lives_of_a_process_share_no_nonce() -> None:
    nonces = {AesGcmBox([OLD]).seal(b"", "context")[5:17] for _ in range(100)}
    assert len(nonces) == 100


@pytest.mark.parametrize("context", ["", "other", "cust|jobs|1|result", "cust|jobs|2|request"])
def test_another_context_does_not_open(context: str) -> None:
    box = AesGcmBox([OLD])
    sealed = box.seal(b"secret", "cust|jobs|1|request")
    with pytest.raises(ValueError, match="changed, moved"):
        box.open(sealed, context)


def test_any_changed_bit_is_noticed() -> None:
    box = AesGcmBox([OLD])
    sealed = box.seal(b"secret", "context")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(ValueError, match="sealed"):
            box.open(changed, "context")


@pytest.mark.parametrize("length", [0, 1, 5, 16, 17, 32])
def test_bytes_that_are_too_short_are_refused(length: int) -> None:
    box = AesGcmBox([OLD])
    with pytest.raises(ValueError, match=r"sealed|Nonce"):
        box.open(box.seal(b"", "context")[:length], "context")


def test_another_key_does_not_open() -> None:
    with pytest.raises(ValueError, match="a key that this data directory does not have"):
        AesGcmBox([NEW]).open(AesGcmBox([OLD]).seal(b"secret", "context"), "context")


def test_the_newest_key_seals_and_every_key_opens() -> None:
    both = AesGcmBox([NEW, OLD])
    assert both.open(AesGcmBox([OLD]).seal(b"old", "context"), "context") == b"old"
    assert AesGcmBox([NEW]).open(both.seal(b"new", "context"), "context") == b"new"


def test_fingerprints_match_for_equal_texts_and_outlive_a_new_key() -> None:
    before, after = AesGcmBox([OLD]), AesGcmBox([NEW, OLD])
    assert before.fingerprint(b"same") == after.fingerprint(b"same")
    assert before.fingerprint(b"same") != before.fingerprint(b"other")


def test_fingerprints_cannot_be_compared_without_the_key() -> None:
    assert AesGcmBox([OLD]).fingerprint(b"same") != AesGcmBox([NEW]).fingerprint(b"same")


def test_a_key_file_is_made_for_its_owner_only_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "encryption.key"
    sealed = open_key_file(path).seal(b"secret", "context")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_key_file(path).open(sealed, "context") == b"secret"
    assert [left.name for left in tmp_path.iterdir()] == ["encryption.key"]


def test_a_key_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "encryption.key"
    path.write_text(OLD.hex() + "\n")
    open_key_file(path)
    secret_box._make_key_file(path)
    assert path.read_text() == OLD.hex() + "\n"


@pytest.mark.parametrize("text", ["", "\n", "zz" * 32, "00" * 31, "00" * 33, OLD.hex() + "\n00", "a key"])
def test_a_key_file_that_holds_something_else_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "encryption.key"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"encryption\.key must hold encryption keys of 32 bytes in hex"):
        open_key_file(path)


def test_nonces_go_on_where_the_last_one_was_the_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: b"\xff" * count)
    box = AesGcmBox([OLD])
    sealed = [box.seal(b"plain", "here") for _ in range(3)]
    assert len({each[5:17] for each in sealed}) == 3
    assert [box.open(each, "here") for each in sealed] == [b"plain"] * 3
