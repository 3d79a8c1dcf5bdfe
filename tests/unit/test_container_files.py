"""The files for containers and Kubernetes are of their formats and hang together, and what they start is what
our command takes. No engine runs here.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bench.testbed.cluster import NODE_SETTINGS
from orchestrator.cli.app import command
from orchestrator.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
CONTAINER, KUBERNETES = ROOT / "deploy" / "container", ROOT / "deploy" / "ray" / "kubernetes"
SCHEMAS = Path(__file__).with_name("schemas")
INSTRUCTIONS = {"FROM", "RUN", "COPY", "USER", "ENV", "VOLUME", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def instructions() -> list[tuple[str, str]]:
    """Read the container file: each instruction and what follows it."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name]


def values_of(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Have our own command read a command line, and give what it understood; it runs nothing."""
    name, *options = arguments
    below = command().commands[name]
    values: dict[str, Any] = below.make_context(name, list(options)).params
    return values


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an operator has set here is not what a container has.
    for name in [name for name in os.environ if name.startswith("EZTHROTTLE_")]:
        monkeypatch.delenv(name)


def test_the_container_file_is_of_instructions_that_engines_know() -> None:
    assert {name for name, _ in instructions()} == INSTRUCTIONS
    assert instructions()[0][0] == "FROM"


def test_the_image_holds_what_make_wheels_made_and_runs_our_command_as_nobody_special(secrets: None) -> None:
    assert values_of("COPY") == ["dist/ /tmp/dist/"]
    assert yaml.safe_load(values_of("ENTRYPOINT")[0]) == ["ezthrottle"]
    assert parsed(yaml.safe_load(values_of("CMD")[0]))["host"] == "0.0.0.0"
    [user] = values_of("USER")
    assert f"useradd --uid 1000 --create-home {user}" in " ".join(values_of("RUN"))


def test_every_service_is_started_as_our_command_understands_it(secrets: None) -> None:
    services = read(CONTAINER / "compose.yaml")["services"]
    understood = {name: parsed(service["command"]) for name, service in services.items()}
    assert understood["gateway"]["agents_bind"] == "0.0.0.0:8443"
    assert {understood[name]["name"] for name in ("fra", "lax")} == {"fra", "lax"}
    assert {*understood["fra"]["join"], *understood["lax"]["join"]} == {"https://gateway:8443"}


def test_a_container_is_given_every_file_that_its_command_names() -> None:
    whole = read(CONTAINER / "compose.yaml")
    for service in whole["services"].values():
        named = {path for word in service["command"] for path in re.findall(r"/run/secrets/(\S+)", word)}
        assert named == {*service["secrets"]} <= whole["secrets"].keys()


def test_the_services_port_is_published_to_its_machine_only_and_the_agents_door_to_all() -> None:
    services = read(CONTAINER / "compose.yaml")["services"]
    assert services["gateway"]["ports"] == [f"127.0.0.1:{Settings().port}:{Settings().port}", "8443:8443"]
    assert set(values_of("EXPOSE")[0].split()) == {str(Settings().port), "8443"}


def pods() -> dict[str, dict[str, Any]]:
    """Find the pods of the Ray cluster, by their group."""
    spec = next(yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text()))["spec"]
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    return {"head": spec["headGroupSpec"], **groups}


def test_every_pod_has_the_settings_of_a_node() -> None:
    wanted = {name: value for name, value in NODE_SETTINGS.items() if not name.startswith("RAY_AUTH")}
    for pod in pods().values():
        [container] = pod["template"]["spec"]["containers"]
        assert {each["name"]: each["value"] for each in container["env"]} == wanted


def test_each_group_offers_one_thing_and_the_gateways_has_the_volume() -> None:
    offers = {name: pod["rayStartParams"].get("resources") for name, pod in pods().items()}
    assert {name: offer and yaml.safe_load(yaml.safe_load(offer)) for name, offer in offers.items()} == {
        "head": None,
        "gateway": {"gateway": 1000},
        "iad": {"region:iad": 1000},
    }
    claims = {each["metadata"]["name"]: each["kind"] for each in documents()}
    [volume] = pods()["gateway"]["template"]["spec"]["volumes"]
    assert claims[volume["persistentVolumeClaim"]["claimName"]] == "PersistentVolumeClaim"


def test_the_kubernetes_service_leads_to_the_gateways_ports() -> None:
    [service] = [each for each in documents() if each["kind"] == "Service"]
    template = pods()["gateway"]["template"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


def test_the_schema_of_composing_takes_the_services_and_no_key_that_it_does_not_know() -> None:
    validator = jsonschema.Draft7Validator(read(SCHEMAS / "compose.json"))
    whole = read(CONTAINER / "compose.yaml")
    assert [error.message for error in validator.iter_errors(whole)] == []
    whole["services"]["gateway"]["restarts"] = "unless-stopped"
    assert ["'restarts'" in error.message for error in validator.iter_errors(whole)] == [True]


def test_the_operators_own_schema_takes_the_cluster() -> None:
    jsonschema.validate(documents()[0], ray_cluster_schema())


@pytest.mark.parametrize(
    ("field", "within"),
    [
        ("rayStartParam", lambda spec: spec["headGroupSpec"]),
        ("volumeMount", lambda spec: spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]),
        ("secretRef", lambda spec: spec["gcsFaultToleranceOptions"]["redisPassword"]["valueFrom"]),
    ],
)
def test_a_field_that_the_operator_does_not_know_would_be_seen(
    field: str, within: Callable[[Any], dict[str, Any]]
) -> None:
    cluster = documents()[0]
    within(cluster["spec"])[field] = {}
    with pytest.raises(jsonschema.ValidationError, match=field):
        jsonschema.validate(cluster, ray_cluster_schema())


def ray_cluster_schema() -> Any:
    schema = read(SCHEMAS / "kuberay-raycluster.json")
    # Of metadata the API server has a schema of its own.
    schema["properties"]["metadata"]["additionalProperties"] = True
    return strict(schema)


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / "cluster.yaml").read_text()))


def strict(schema: Any) -> Any:
    """Let no field pass that is not named: the API server would drop it without a word."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    within = {name: strict(each) for name, each in schema.items()}
    if "properties" in within and not within.get("x-kubernetes-preserve-unknown-fields"):
        within.setdefault("additionalProperties", False)
    if within.get("x-kubernetes-int-or-string"):
        within.pop("type", None)
    return within
