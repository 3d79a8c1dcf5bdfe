"""JSON that is sent and kept."""

import json

from orchestrator.domain.json_bytes import json_bytes


def test_it_is_compact_and_letters_are_themselves() -> None:
    assert json_bytes({"a": [1, None, "ü"]}) == '{"a":[1,null,"ü"]}'.encode()


def test_a_lone_surrogate_is_written_as_the_escape_that_reads_back_the_same() -> None:
    document = {"of a target": "\ud800 and ü", "large": 2**70}
    assert json.loads(json_bytes(document)) == document
    assert b"\\ud800" in json_bytes(document)


def test_a_number_beyond_64_bits_is_written_whole() -> None:
    assert json_bytes({"n": 2**70}) == b'{"n":%d}' % 2**70
