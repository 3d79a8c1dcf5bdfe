"""``ezthrottle backup``: the database, copied while the service runs."""

import sqlite3
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.client import REFUSED, USAGE_ERROR, AsJson, refuse, show
from orchestrator.cli.keys import DEFAULT_DIR, DataDir

To = Annotated[Path, typer.Argument(help="The file to make; it may not be there yet.")]


def backup(to: To, data_dir: DataDir = DEFAULT_DIR, *, as_json: AsJson = False) -> None:
    """Copy the database, while the service runs or not. The encryption keys are not in it."""
    from orchestrator.adapters.sqlite.backup import back_up  # noqa: PLC0415  # serve needs no backup
    from orchestrator.adapters.sqlite.store import DATABASE, KEY_FILE  # noqa: PLC0415  # the same

    database = data_dir / DATABASE
    if not database.exists():
        refuse(f"--data-dir {data_dir}: nothing lies there", USAGE_ERROR)
    try:
        back_up(database, to)
    except FileExistsError:
        refuse(f"{to} is there already: name a new file", USAGE_ERROR)
    except OSError as error:
        refuse(f"{to}: {error.strerror}: name a file that can be written", USAGE_ERROR)
    except sqlite3.Error as error:
        refuse(f"{database} could not be copied: {error}", REFUSED)
    made = {"backup": str(to), "bytes": to.stat().st_size}
    if as_json:
        show(made)
    else:
        typer.echo(f"{to} ({made['bytes']} bytes); it opens with {data_dir / KEY_FILE}, which is not in it")
