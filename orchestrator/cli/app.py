"""The ``ezthrottle`` command."""

from typing import Annotated, Any

import typer

from orchestrator.cli.audit import audit
from orchestrator.cli.backup import backup
from orchestrator.cli.deploy import deploy, status, undeploy
from orchestrator.cli.domains import domains
from orchestrator.cli.init import init
from orchestrator.cli.jobs import jobs
from orchestrator.cli.keys import keys
from orchestrator.cli.migrate import migrate
from orchestrator.cli.region import region
from orchestrator.cli.regions import regions
from orchestrator.cli.serve import serve
from orchestrator.cli.usage import usage
from orchestrator.cli.webhooks import webhooks
from orchestrator.runtime.version import VERSION

app = typer.Typer(
    name="ezthrottle",
    help="An API dam: durable outbound HTTP at the pace each target bears, raced across regions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
VARIABLE = "EZTHROTTLE_{}"
ONE_A_LINE = frozenset({"header"})
"""Options that may be given several times, and hold blanks: in their variable each has a line."""
WITHOUT_VARIABLE = frozenset({"help", "version", "install-completion", "show-completion"})


def _tell_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"ezthrottle {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Durable outbound HTTP at the pace each target bears, raced across regions."""


app.command()(serve)
app.command()(region)
app.command()(deploy)
app.command()(status)
app.command()(undeploy)
app.command()(backup)
app.command()(init)
app.command()(migrate)
app.command()(usage)
app.add_typer(regions, name="regions")
app.add_typer(keys, name="keys")
app.add_typer(audit, name="audit")
app.add_typer(jobs, name="jobs")
app.add_typer(domains, name="domains")
app.add_typer(webhooks, name="webhooks")


def command() -> Any:
    """Give the whole command; every option of it can be set by an environment variable as well."""
    # Typer's types do not name the class of its commands.
    whole: Any = typer.main.get_command(app)
    _name_variables(whole)
    return whole


def main() -> None:
    """Run the command."""
    command()()


def _name_variables(part: Any) -> None:
    for option in part.params:
        names = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
        if names and not option.envvar and not WITHOUT_VARIABLE & {*names}:
            option.envvar = VARIABLE.format(max(names, key=len).upper().replace("-", "_"))
        if option.name in ONE_A_LINE:
            option.split_envvar_value = str.splitlines
    for below in getattr(part, "commands", {}).values():
        _name_variables(below)
