"""The operator's table of known domains, read from TOML, over the one that is shipped."""

import tomllib
from importlib.resources import files
from pathlib import Path

from orchestrator.domain.pace.known_domains import BadTable, KnownDomains, read_known_domains
from orchestrator.settings import FILE_TABLE

SHIPPED = "known_domains.toml"


def load_known_domains(path: Path | None) -> KnownDomains:
    """Read the shipped table and, over it, the operator's.

    Raises:
        BadTable: The operator's file can't be read, or something in it is wrong; the message says what to do.

    """
    shipped = read_known_domains(tomllib.loads(files(__package__).joinpath(SHIPPED).read_text()))
    return shipped if path is None else shipped.merged(_read(path))


def _read(path: Path) -> KnownDomains:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        document.pop(FILE_TABLE, None)
        return read_known_domains(document)
    except OSError as error:
        raise BadTable(f"{path}: {error.strerror}: name a file that the service can read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path}: is no TOML: {error}") from error
    except BadTable as error:
        raise BadTable(f"{path}: {error}") from error
