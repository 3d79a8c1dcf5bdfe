"""``ezthrottle deploy``, ``status`` and ``undeploy``: a service in a Ray cluster, as a file says it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.client import REFUSED, USAGE_ERROR, AsJson, refuse, show, table
from orchestrator.domain.cluster.topology import BadTopology

WAIT_S = 60.0
DRAIN_S = 10.0


def deploy(
    topology: Annotated[
        Path, typer.Argument(help="A TOML file: [serve], and [regions.NAME] for each region.")
    ],
    wait: Annotated[float, typer.Option(help="Seconds to wait until all is there.")] = WAIT_S,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a running Ray cluster what the file says, or bring it there from an earlier one, without losing a
    job.
    """
    from orchestrator.cli.topology_file import read_topology  # noqa: PLC0415  # other commands need no guard

    try:
        settings, regions = read_topology(topology)
    except BadTopology as error:
        refuse("\n  ".join([f"{topology}:", *error.problems]), USAGE_ERROR)
    with _cluster() as cluster:
        from orchestrator.adapters.ray.deployment import Deployment  # noqa: PLC0415  # others need no Ray
        from orchestrator.runtime.version import build  # noqa: PLC0415  # the same

        counts = {str(name): count for name, count in regions.items()}
        found = cluster.deploy(Deployment(settings.carry(), counts, build()), counts, wait, _say)
    _tell(found, as_json=as_json)
    if found["unsettled"]:
        refuse(f"not all is there after {wait:g} s; the controller goes on, see 'ezthrottle status'")


def status(*, as_json: AsJson = False) -> None:
    """Show what is deployed where, of which version, and what is wrong."""
    with _cluster() as cluster:
        found = cluster.status()
    if found is None:
        refuse("nothing is deployed in this cluster: 'ezthrottle deploy topology.toml'")
    _tell(found, as_json=as_json)
    if found["unsettled"]:
        raise typer.Exit(REFUSED)


def undeploy(
    drain_timeout: Annotated[
        float, typer.Option(help="Seconds that attempts under way are given.")
    ] = DRAIN_S,
) -> None:
    """End what is deployed. Jobs are safe on disk: the next deploy, or serve, goes on with them."""
    with _cluster() as cluster:
        ended = cluster.undeploy(drain_timeout)
    typer.echo(f"ended {', '.join(ended)}" if ended else "nothing was deployed")


@contextmanager
def _cluster() -> Iterator[Any]:
    """Join the cluster; end the command with a line where that, or what follows, can't be."""
    from orchestrator.adapters.ray import deploying  # noqa: PLC0415  # a second and 50 MB of imports
    from orchestrator.adapters.ray.joining import JoinError  # noqa: PLC0415  # the same

    try:
        deploying.join_cluster()
        yield deploying
    except (JoinError, deploying.DeployError) as error:
        refuse(str(error), USAGE_ERROR)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show(found)
        return
    rows = [
        (
            part["part"],
            part["state"] if part["wanted"] or part["state"] == "leaving" else "old",
            " ".join(filter(None, (part["host"], part["address"]))) or "-",
            part["version"] or "-",
            part["busy"],
            part["reason"],
        )
        for part in found["parts"]
    ]
    table(("part", "state", "runs on", "version", "under way", "why not"), rows)


def _say(line: str) -> None:
    typer.echo(f"ezthrottle: {line}", err=True)
