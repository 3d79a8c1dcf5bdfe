"""Every block of the documents runs as it stands, from a state that the documents themselves make."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.ports import free_port
from tests.support.documents import Block, Reader, blocks_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
CHECKOUT = (
    "Makefile",
    "requirements.lock",
    "pyproject.toml",
    "orchestrator",
    "regions",
    "sdk",
    "bench",
    "docs",
)
HOW_TOS = tuple(sorted(f"docs/howto/{page.name}" for page in (REPOSITORY / "docs" / "howto").glob("*.md")))
PLAYGROUND = (
    "README.md",
    "docs/guide.md",
    "sdk/README.md",
    "sdk/examples/README.md",
    "docs/tutorial.md",
    *HOW_TOS,
)
"""Read beside the service and the target that the README starts."""
OPERATIONS = ("docs/operations.md", "docs/console.md")
REGIONS = ("docs/regions.md",)
PORTS = (5000, 8000, 8001, 8002, 8080, 8443, 9000, 9001, 9002, 9003, 9004, 9090)
NOT_A_PROGRAM = {"", "toml", "yaml"}
NOT_RUN = {
    "not run: tests/acceptance/test_demo.py runs the demo",
    "not run: it is what runs this",
    "not run: it needs root and a machine with systemd",
    "not run: it needs machines",
    "not run: it needs an engine",
    "not run: it would replace the client that the tests run with",
    "not run: it writes to the start-up file of the shell that it is called in",
    "not run: it needs a collector, and the checkout has the extra",
}


def checkout(directory: Path) -> Path:
    """Make what a reader's checkout is, with a data directory of its own."""
    for name in (*CHECKOUT, ".venv"):
        (directory / name).symlink_to(REPOSITORY / name)
    return directory


def reader_in(directory: Path) -> Reader:
    # Ports that are free, for those that the documents name.
    addresses = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in PORTS}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EZTHROTTLE_")}
    environment |= {
        "EZTHROTTLE_PORT": addresses["127.0.0.1:8080"].rpartition(":")[2],
        "EZTHROTTLE_URL": f"http://{addresses['127.0.0.1:8080']}",
        "TARGET_PORT": addresses["127.0.0.1:9000"].rpartition(":")[2],
        "FLASK_RUN_PORT": addresses["127.0.0.1:5000"].rpartition(":")[2],
        "UVICORN_PORT": addresses["127.0.0.1:8000"].rpartition(":")[2],
        "PYTHONUNBUFFERED": "1",
    }
    return Reader(checkout(directory), environment, addresses)


@pytest.fixture(scope="module")
def playground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = reader_in(tmp_path_factory.mktemp("playground"))
    try:
        yield reader
    finally:
        reader.close()


def blocks(*documents: str) -> list[Block]:
    return [block for name in documents for block in blocks_of(REPOSITORY / name) if block.runs]


def by_place(block: Block) -> str:
    return f"{block.document}:{block.line}"


@pytest.mark.parametrize("block", blocks(*PLAYGROUND), ids=by_place)
def test_a_block_runs_as_it_stands(block: Block, playground: Reader) -> None:
    assert playground.run(block) is not None


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = reader_in(tmp_path_factory.mktemp("machine"))
    try:
        yield reader
    finally:
        reader.close()


@pytest.mark.parametrize("block", blocks(*OPERATIONS), ids=by_place)
def test_an_operators_block_runs_as_it_stands(block: Block, machine: Reader) -> None:
    assert machine.run(block) is not None


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = reader_in(tmp_path_factory.mktemp("fleet"))
    try:
        yield reader
    finally:
        reader.close()


@pytest.mark.parametrize("block", blocks(*REGIONS), ids=by_place)
def test_a_block_about_regions_runs_as_it_stands(block: Block, fleet: Reader) -> None:
    assert fleet.run(block) is not None


def test_every_block_is_run_but_for_those_that_say_why_not() -> None:
    documents = [REPOSITORY / name for name in (*PLAYGROUND, *OPERATIONS, *REGIONS)]
    found = [block for path in documents for block in blocks_of(path)]
    assert {block.language for block in found} <= {"bash", "python"} | NOT_A_PROGRAM
    assert {block.note for block in found if block.note.startswith("not run: ")} == NOT_RUN
