import gc
import json
import time

import pytest

from orchestrator.adapters.http.strict_json import parse_object
from orchestrator.domain.errors import MalformedJson

DEPTH = 32


def refusal(raw: bytes | str, depth: int = DEPTH) -> str:
    with pytest.raises(MalformedJson) as refused:
        parse_object(raw if isinstance(raw, bytes) else raw.encode(), depth)
    return str(refused.value)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": [1, -1, 1.5, 1e-300, True, None, "Zoë 🎉", "\u2028", {"b": {}}]},
        {"": ""},
        {"least": -(2**63), "most": 2**64 - 1},
        {"tiny": 1e-400},
    ],
)
def test_strict_json_is_read_as_it_is(document: dict[str, object]) -> None:
    assert parse_object(json.dumps(document).encode(), DEPTH) == document


def test_escapes_in_pairs_make_one_character() -> None:
    assert parse_object(b'{"a": "\\ud83c\\udf89"}', DEPTH) == {"a": "🎉"}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_not_json_are_refused_by_name(constant: str) -> None:
    assert refusal(f'{{"a": [{constant}]}}') == f"{constant} is not JSON"


@pytest.mark.parametrize(
    "number",
    ["1e400", "-1e400", "1" * 400 + ".0", str(2**64), str(-(2**63) - 1), "1" * 22, "-" + "1" * 5_000],
)
def test_numbers_out_of_range_are_refused(number: str) -> None:
    message = refusal(f'{{"a": {number}}}')
    assert "out of range" in message
    assert len(message) < 100


@pytest.mark.parametrize("text", ["\\ud800", "\\udc00", "\\ud800x", "\\udc00\\ud800"])
@pytest.mark.parametrize("document", ['{{"a": "{}"}}', '{{"{}": 1}}', '{{"a": [{{"b": "{}"}}]}}'])
def test_lone_surrogates_are_refused_wherever_they_stand(document: str, text: str) -> None:
    assert "surrogate" in refusal(document.format(text))


@pytest.mark.parametrize(
    "document", ['{"a": 1, "a": 1}', '{"b": {"a": 1, "c": 2, "a": 3}}', '{"a": 1, "\\u0061": 2}']
)
def test_a_key_that_stands_twice_is_refused_by_name(document: str) -> None:
    assert refusal(document) == "the key 'a' stands twice"


def test_finding_a_repeated_key_takes_no_longer_than_reading_the_body() -> None:
    names = [f"k{number}" for number in range(60_000)]
    once = ("{" + ",".join(f'"{name}":1' for name in names) + "}").encode()
    twice = once[:-1] + f',"{names[-1]}":1}}'.encode()
    began = time.perf_counter()
    parse_object(once, DEPTH)
    read_s = time.perf_counter() - began
    refusal(twice)
    assert time.perf_counter() - began < 20 * (read_s + 0.05)


@pytest.mark.parametrize("text", ["{} {}", "{}x", "{},", '{"a":1}\n{"b":2}', "{}\x00"])
def test_text_after_the_end_is_refused(text: str) -> None:
    assert "Extra data" in refusal(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", '{"a"}', "{'a': 1}", '{"a": 01}', '{"a": .5}', '{"a": "\n"}', '{"a": 1,}', "\ufeff{}"],
)
def test_what_is_not_json_is_refused_with_its_place(text: str) -> None:
    assert "is not JSON" in refusal(text)


@pytest.mark.parametrize(
    "raw", [b"\xff{}", b'{"a": "\xe9"}', b'{"a": "\xed\xa0\x80"}', "{}".encode("utf-16")]
)
def test_what_is_not_utf8_is_refused(raw: bytes) -> None:
    assert "not UTF-8" in refusal(raw)


@pytest.mark.parametrize("text", ["[]", "1", '"a"', "null", "true", '[{"url": "x"}]'])
def test_what_is_no_object_is_refused(text: str) -> None:
    assert refusal(text) == "the body must be a JSON object"


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_levels_are_counted_up_to_the_limit(opening: str, closing: str) -> None:
    def nested(levels: int) -> str:
        return '{"m":' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}"

    assert parse_object(nested(DEPTH).encode(), DEPTH)
    assert refusal(nested(DEPTH + 1)) == "the body is nested deeper than 32 levels"


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_however_deep_a_body_is_it_is_refused_and_breaks_nothing(opening: str) -> None:
    assert "nested deeper" in refusal('{"m":' + opening * 12_000)


@pytest.mark.parametrize("tiny", ["[],", "{},"])
def test_a_body_of_countless_containers_is_refused_before_it_is_read(tiny: str) -> None:
    assert "more than 25000" in refusal('{"a":[' + tiny * 30_000 + "0]}")


def test_brackets_in_strings_are_not_counted() -> None:
    document = {"body": '[{"a": "[\\"[{"}]' * 20_000, "m": ["\\", "["]}
    assert parse_object(json.dumps(document).encode(), DEPTH) == document


@pytest.mark.parametrize("opening", ['{"a":', "[", '{"on_success":[', '{"fallback_job":[[', '{"on_success":'])
@pytest.mark.parametrize("levels", [100, 900, 2_000, 50_000])
def test_no_depth_is_too_deep_for_an_answer(opening: str, levels: int) -> None:
    closing = "".join({"{": "}", "[": "]"}.get(mark, "") for mark in reversed(opening))
    inside = opening * levels + '"\\u00e9"' + closing * levels
    message = refusal(f'{{"metadata": {inside}}}')
    assert "nested deeper than 32 levels" in message or "more than 25000 arrays" in message


@pytest.mark.parametrize("levels", [33, 500])
def test_a_list_in_the_place_of_a_job_is_no_chain(levels: int) -> None:
    deep = '{"on_success":' + "[" * levels + "]" * levels + "}"
    assert "nested deeper" in refusal(deep)


def test_a_chain_of_jobs_is_as_long_as_the_reader_of_jobs_lets_it() -> None:
    chain = '{"on_success":' * 300 + '{"a": "\\u00e9"}' + "}" * 300
    assert parse_object(chain.encode(), DEPTH)
    assert "surrogate" in refusal(chain.replace("00e9", "d800"))


def test_a_complaint_about_one_body_is_none_about_the_next() -> None:
    for wrong in (b'{"a": NaN', b'{"a": 1, "a": NaN} x'):
        with pytest.raises(MalformedJson):
            parse_object(wrong, DEPTH)
        assert parse_object(b'{"a": 1}', DEPTH) == {"a": 1}


def test_reading_a_body_leaves_no_garbage_to_collect() -> None:
    parse_object(b'{"a": 1}', DEPTH)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            parse_object(b'{"a": 1}', DEPTH)
        assert gc.collect() < 100
    finally:
        gc.enable()
