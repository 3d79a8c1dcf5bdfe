"""Runs the blocks of a document as a reader would: in order, in one shell and one Python.

A comment in front of a block says how it differs from the rest:

``<!-- serves: REGEX -->``   it runs until it is stopped; the next block waits for a line that matches. What
                             serves already is not started twice
``<!-- serves again: REGEX -->`` the same, when what serves was stopped
``<!-- not run: REASON -->`` it is not run at all
``<!-- ends with N -->``     its last failing command exits so; 22 is curl's, for an answer of 400 or more
``<!-- file: NAME -->``      it is the text of that file, for the blocks after it

Without such a comment no command of a block may fail, and no answer be a refusal.
"""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BLOCK_TAKES_AT_MOST_S = 90.0
RUNNABLE = ("bash", "python")
_FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_DONE = "@@ the block is done:"
_BASH = f"""
set -E -o pipefail
trap 'code=$?' ERR
while read -r file; do code=0; . "$file"; echo "{_DONE} $code"; done
"""
_PYTHON = f"""
import sys, traceback
namespace = {{"__name__": "__main__"}}
for line in sys.stdin:
    path, code = line.strip(), 0
    try:
        exec(compile(open(path).read(), path, "exec"), namespace)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        code = 1
    print("{_DONE}", code, flush=True)
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block, and what the comment in front of it says."""

    document: str
    line: int
    language: str
    text: str
    note: str

    @property
    def runs(self) -> bool:
        """Whether a reader would run it."""
        return self.language in RUNNABLE and not self.note.startswith("not run: ")

    @property
    def ends_with(self) -> int:
        """The exit code of the last command that fails; 0 where none does."""
        return int(self.note.removeprefix("ends with ")) if self.note.startswith("ends with ") else 0

    @property
    def ready_when(self) -> str:
        """The pattern of the line that says it serves; empty where it ends by itself."""
        return self.note.partition(": ")[2] if self.note.startswith("serves") else ""

    @property
    def file_name(self) -> str:
        """The file that a reader puts it into; empty where it is run."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else ""


def blocks_of(path: Path) -> Iterator[Block]:
    """Read a Markdown file's fenced blocks, in order."""
    text = path.read_text("utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(path.name, line, found["language"], found["text"], found["note"] or "")


class BlockFailed(Exception):
    """A block did not do what its reader is told."""

    def __init__(self, block: Block, output: str) -> None:
        super().__init__(f"{block.document}:{block.line}\n{block.text}\n--- printed ---\n{output[-4000:]}")


class Reader:
    """Somebody who runs a document's blocks, in a directory.

    Args:
        directory: Where the reader's shells are.
        environment: What is set in them.
        addresses: What to put for an address that the documents name, since that port may be taken.

    """

    def __init__(self, directory: Path, environment: Mapping[str, str], addresses: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = dict(environment)
        self._addresses = dict(addresses)
        self._serving: dict[str, subprocess.Popen[str]] = {}
        self._shells: dict[str, subprocess.Popen[str]] = {}
        self._blocks_dir = directory / ".blocks"
        self._blocks_dir.mkdir()
        (directory / ".curlrc").write_text("fail-with-body\n", "utf-8")
        self._environment["CURL_HOME"] = str(directory)

    def run(self, block: Block) -> str:
        """Run a block to its end, or until it serves; return what it printed.

        Raises:
            BlockFailed: It ended in an error, or did not end in time.

        """
        script = self._written(block)
        if block.file_name:
            return str(script.replace(self._directory / block.file_name))
        if block.ready_when:
            return self._serve(block, script)
        shell = self._shell(block.language)
        assert shell.stdin is not None
        print(script, file=shell.stdin, flush=True)
        output = self._read_until(shell, re.escape(_DONE), block)
        if not output.rstrip().endswith(f"{_DONE} {block.ends_with}"):
            raise BlockFailed(block, output)
        return output

    def stop_serving(self) -> None:
        """Stop what serves, the latest first, as Ctrl-C does."""
        while self._serving:
            _end(self._serving.popitem()[1], signal.SIGINT)

    def close(self) -> None:
        """Close the shells, and stop what serves."""
        for shell in self._shells.values():
            _end(shell, signal.SIGKILL)
        self.stop_serving()

    def _written(self, block: Block) -> Path:
        text = block.text
        for address, actual in self._addresses.items():
            text = text.replace(address, actual)
        script = self._blocks_dir / f"{block.document}-{block.line}.{block.language}"
        script.write_text(text, "utf-8")
        return script

    def _serve(self, block: Block, script: Path) -> str:
        if block.note.startswith("serves again"):
            self.stop_serving()
        command = re.sub(r"\s*#.*", "", block.text)
        if command in self._serving:
            return ""
        serving = self._popen("bash", "-e", str(script), **self._exported())
        self._serving[command] = serving
        return self._read_until(serving, block.ready_when, block)

    def _shell(self, language: str) -> subprocess.Popen[str]:
        if language == "bash" and "bash" not in self._shells:
            self._shells["bash"] = self._popen("bash", "-c", _BASH)
        elif language == "python" and "python" not in self._shells:
            # Python is the reader's own: it knows what was exported in the shell until now.
            self._shells["python"] = self._popen(sys.executable, "-c", _PYTHON, **self._exported())
        return self._shells[language]

    def _exported(self) -> dict[str, str]:
        exported = self._directory / ".exported"
        asked = Block("the reader", 0, "bash", f"env -0 > {exported}\n", "")
        self.run(asked)
        pairs = exported.read_text("utf-8").rstrip("\0").split("\0")
        return dict(pair.split("=", 1) for pair in pairs)

    def _popen(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self._directory,
            env=self._environment | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _read_until(self, process: subprocess.Popen[str], pattern: str, block: Block) -> str:
        assert process.stdout is not None
        output, deadline = "", time.monotonic() + BLOCK_TAKES_AT_MOST_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not re.search(pattern + r".*\n", output):
                piece = _piece(selector, process.stdout, deadline - time.monotonic())
                if not piece:
                    raise BlockFailed(block, output)
                output += piece
        return output


def _piece(selector: selectors.BaseSelector, stream: IO[str], patience_s: float) -> str:
    """Return what can be read now; empty where nothing came in time, or will any more."""
    if patience_s <= 0 or not selector.select(patience_s):
        return ""
    return os.read(stream.fileno(), 65_536).decode("utf-8", "replace")


def _end(process: subprocess.Popen[str], how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(BrokenPipeError):
            stream.close()
