"""A testbed to try things on: ``python -m bench.testbed`` makes machines, and asks what to do with them."""

import cmd
import shlex
import sys

from bench.testbed.bed import Testbed, running_testbed
from bench.testbed.cluster import Cluster
from bench.testbed.namespaces import why_not
from bench.testbed.service import REGIONS


class Shell(cmd.Cmd):
    """Commands on machines and the paths between them."""

    prompt = "testbed> "
    intro = (
        "hub, iad, lax, ord and net are up. `help` names what can be done, `ray` starts Ray; Ctrl-D ends it."
    )

    def __init__(self, bed: Testbed) -> None:
        super().__init__()
        self._bed = bed
        self._cluster: Cluster | None = None

    def do_exec(self, line: str) -> None:
        """Exec MACHINE COMMAND ...: run something there, and show what it says."""
        name, *command = shlex.split(line)
        print(self._bed[name].run(*command, env=self._cluster.environment if self._cluster else {}))

    def do_ray(self, _line: str) -> None:
        """ray: start a head on hub, and a node that offers its region on iad, lax and ord."""
        self._cluster = Cluster(self._bed)
        self._cluster.start(*REGIONS)
        print(f"RAY_ADDRESS={self._cluster.address}")

    def do_shape(self, line: str) -> None:
        """Shape ONE OTHER [delay_ms=N] [jitter_ms=N] [loss=SHARE] [mbit=N]: change a path, both ways."""
        one, other, *words = line.split()
        changes = {name: float(value) for name, _, value in (word.partition("=") for word in words)}
        print(self._bed.shape(one, other, changes))

    def do_cut(self, line: str) -> None:
        """Cut ONE [OTHER]: let nothing through between them, or between ONE and all."""
        self._bed.cut(*line.split())

    def do_mute(self, line: str) -> None:
        """Mute ONE [OTHER]: let nothing through that ONE sends; what is sent to it arrives."""
        self._bed.cut(*line.split(), one_way=True)

    def do_heal(self, line: str) -> None:
        """Heal ONE [OTHER]: undo cut and mute."""
        self._bed.heal(*line.split())

    def do_kill(self, line: str) -> None:
        """Kill MACHINE NAME: kill the processes of that name there, raylet or gcs_server say."""
        name, process = line.split()
        print(self._bed[name].kill(process), "killed")

    def do_off(self, line: str) -> None:
        """Off MACHINE: cut its power."""
        self._bed[line.strip()].lose_power()

    def do_boot(self, line: str) -> None:
        """Boot MACHINE: switch it on again; nothing runs there then."""
        self._bed[line.strip()].boot()

    def do_EOF(self, _line: str) -> bool:  # noqa: N802  # how cmd calls the end of the input
        """End it all."""
        return True

    def onecmd(self, line: str) -> bool:
        """Do a command; one that fails ends nothing."""
        try:
            return super().onecmd(line)
        except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
            print(f"{type(error).__name__}: {error}")
            return False


def main() -> int:
    """Run until the input ends."""
    if reason := why_not():
        print(reason, file=sys.stderr)
        return 1
    with running_testbed() as bed:
        Shell(bed).cmdloop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
