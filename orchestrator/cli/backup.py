"""``ezthrottle backup``: the database, copied while the service runs."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.client import REFUSED, USAGE_ERROR, AsJson, refuse, show
from orchestrator.cli.directory import DEFAULT_DIR, DataDir

To = Annotated[Path, typer.Argument(help="The file to make; it may not be there yet.")]


def backup(to: To, data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Copy the database, while the service runs or not. The encryption keys are not in it."""
    from orchestrator.adapters.stores import back_up_directory, is_in_use  # noqa: PLC0415  # serve needs no backup
    from orchestrator.ports.store import StoreFailure  # noqa: PLC0415  # the same

    if not is_in_use(data_dir):
        refuse(f"--data-dir {data_dir}: nothing lies there", USAGE_ERROR)
    try:
        key_file = back_up_directory(data_dir, to)
    except FileExistsError:
        refuse(f"{to} is there already: name a new file", USAGE_ERROR)
    except OSError as error:
        refuse(f"{to}: {error.strerror}: name a file that can be written", USAGE_ERROR)
    except StoreFailure as error:
        refuse(str(error), REFUSED)
    made = {"backup": str(to), "bytes": to.stat().st_size}
    if as_json:
        show(made)
    else:
        typer.echo(f"{to} ({made['bytes']} bytes); it opens with {key_file}, which is not in it")
