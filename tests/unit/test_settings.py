import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.jobs.submission_bounds import SubmissionBounds
from orchestrator.settings import CARRIED_IN, Address, Settings


def test_the_defaults_are_the_contracts() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path("./data"))
    assert settings.regions == ("iad", "lax", "ord")
    assert (settings.default_rps, settings.default_max_concurrent) == (2.0, 2)
    assert (settings.max_body_bytes, settings.keep_days, settings.drain_timeout_s) == (2**20, 7.0, 10.0)
    assert (settings.allow_private_targets, settings.allow_targets) == (False, "")


def test_the_defaults_are_right() -> None:
    assert Settings().problems() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"regions": ()},
        {"regions": ("iad", "iad")},
        {"regions": ("IAD",)},
        {"regions": ("1ad",)},
        {"regions": ("i d",)},
        {"regions": ("@webhooks",)},
        {"regions": ("i" * 33,)},
        {"regions": ("iad\n",)},
        {"port": -1},
        {"port": 65_536},
        {"metrics_bind": "9090"},
        {"metrics_bind": "127.0.0.1"},
        {"metrics_bind": "127.0.0.1:0"},
        {"metrics_bind": "127.0.0.1:65536"},
        {"metrics_bind": "::1:9090"},
        {"metrics_bind": "http://127.0.0.1:9090"},
        {"metrics_bind": "127.0.0.1:8080"},
        {"metrics_bind": "0.0.0.0:8080"},
        {"max_body_bytes": 0},
        {"max_response_bytes": -1},
        {"max_json_depth": 101},
        {"max_chain_depth": 33},
        {"max_chain_jobs": 257},
        {"max_headers": 501},
        {"max_repeats": 0},
        {"default_rps": 0.0},
        {"default_max_concurrent": 0},
        {"keep_days": 0.0},
        {"strict_down_s": 0.0},
        {"webhook_max_concurrent": 0},
        {"webhook_jitter": 1.5},
        {"redelivery_rps": 0.0},
    ],
)
def test_a_wrong_setting_is_named_by_its_option(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    (problem,) = replace(Settings(), **wrong).problems()
    assert f"--{name.removesuffix('_s').replace('_', '-')}" in problem


@pytest.mark.parametrize("offsets", [(), (5.0,), (0.0, 5.0, 5.0), (0.0, math.inf), (0.0, math.nan)])
def test_webhook_offsets_grow_from_nought(offsets: tuple[float, ...]) -> None:
    (problem,) = Settings(webhook_offsets_s=offsets).problems()
    assert "--webhook-offsets" in problem


def test_everything_that_is_wrong_is_named_at_once() -> None:
    assert len(Settings(port=-1, default_rps=0.0, keep_days=-1.0).problems()) == 3


@pytest.mark.parametrize("port", [0, 1, 65_535])
def test_any_port_of_tcp_is_right_and_zero_lets_the_system_choose(port: int) -> None:
    assert Settings(port=port).problems() == []


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9090", Address("127.0.0.1", 9090)),
        ("metrics.internal:9090", Address("metrics.internal", 9090)),
        ("[::1]:9090", Address("::1", 9090)),
        ("127.0.0.2:8080", Address("127.0.0.2", 8080)),
    ],
)
def test_metrics_are_bound_apart_to_a_host_and_a_port(text: str, address: Address) -> None:
    settings = Settings(metrics_bind=text)
    assert (settings.problems(), settings.metrics_address) == ([], address)
    assert str(address) == text


def test_settings_reach_a_child_process_whole(tmp_path: Path) -> None:
    settings = Settings(
        host="0.0.0.0",
        port=9_000,
        metrics_bind="127.0.0.1:9090",
        data_dir=tmp_path,
        regions=("eu-1", "eu-2"),
        allow_private_targets=True,
        allow_targets="10.0.0.0/8",
        drain_timeout_s=2.5,
        default_rps=0.5,
        keep_days=0.25,
        strict_down_s=12.5,
        webhook_offsets_s=(0.0, 1.5),
    )
    assert Settings.carried(settings.carry()) == settings


def test_every_bound_on_a_submission_can_be_set() -> None:
    defaults = SubmissionBounds()
    settings = Settings(
        max_body_bytes=1,
        max_batch_bytes=2,
        max_batch_jobs=3,
        max_json_depth=4,
        max_chain_depth=5,
        max_chain_jobs=6,
        max_webhooks=7,
        max_regions=8,
        max_headers=9,
        max_header_bytes=10,
        max_url_bytes=16,
        max_metadata_bytes=11,
        max_repeats=12,
        max_retry_at_days=0.5,
        max_open_jobs=14,
        max_streams=15,
    )
    assert settings.problems() == []
    set_to = asdict(settings.bounds)
    assert set_to.pop("retry_at_ahead_ms") == 12 * 3600 * 1000
    assert sorted(set_to.values()) == [*range(1, 13), 14, 15, 16]
    assert Settings().bounds == defaults


def test_a_relative_data_directory_is_carried_as_the_place_it_means() -> None:
    assert Settings.carried(Settings(data_dir=Path("data")).carry()).data_dir == Path.cwd() / "data"


def test_a_setting_that_this_version_does_not_know_is_passed_over() -> None:
    carried = Settings().carry()
    newer = {CARRIED_IN: carried[CARRIED_IN].replace("{", '{"of_tomorrow": 1, ', 1)}
    assert Settings.carried(newer).port == 8080


def test_an_environment_without_settings_is_a_fault_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Settings.carried({})


def test_a_domains_file_is_carried_by_its_full_path() -> None:
    carried = Settings.carried(Settings(domains_file=Path("domains.toml")).carry())
    assert carried.domains_file == Path("domains.toml").resolve()
    assert Settings.carried(Settings().carry()).domains_file is None
