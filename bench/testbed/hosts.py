"""Machines of a testbed as `ray up` wants its hosts: reached by ssh, with a package of their own, and units.

Each has `/etc`, `/opt` and `/var/lib` of its own over this machine's, an environment in which all that the
package stands on is found already, and stand-ins for apt-get, sudo and systemctl, for no machine here has an
init system. The user of `ray up` is root by another name.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from bench.testbed.bed import Testbed
from bench.testbed.machine import CHECKOUT, Machine, Process
from bench.testbed.service import until

TOOLS = ("sshd", "ssh", "ssh-copy-id", "ssh-keygen", "openssl", "rsync", "redis-server", "make")
MISSING = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
HOSTS_MISSING = f"`ray up` needs {', '.join(MISSING)}" if MISSING else None
"""Why there can be no such hosts; None where there can."""
ENVIRONMENT = Path("/opt/ezthrottle/.venv")
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
BIN = "/srv/bin"
LAUNCH = "/srv/launch"
COPIED = (
    "orchestrator",
    "regions",
    "sdk",
    "deploy",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "Makefile",
    "requirements.lock",
)
"""Of the checkout, to where `ray up` is called."""
COMMAND_WITHIN_S = 300.0
INSTALLED_WITHIN_S = 240.0
_NOTHING = "#!/bin/sh\nexit 0\n"
_SUDO = '#!/bin/sh\nexec "$@"\n'
_SYSTEMCTL = f'#!/bin/sh\ncd {CHECKOUT}\nexec {sys.executable} -m bench.testbed.systemctl "$@"\n'
_STAND_INS = {"apt-get": _NOTHING, "sudo": _SUDO, "systemctl": _SYSTEMCTL}
_SHIM = "#!{environment}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
_SHIMS = {"ray": "ray.scripts.scripts", "pip": "pip._internal.cli.main"}


class Launcher:
    """The machine where somebody has a checkout, and calls commands in it. Hosts let root in from there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.directory = machine.srv / "launch"
        lay_over(machine, _ROOT)
        write(machine, "/srv/.ssh/config", "StrictHostKeyChecking accept-new\n")
        machine.run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", "/srv/.ssh/id_ed25519")
        self.public = machine.srv.joinpath(".ssh/id_ed25519.pub").read_text()
        for name in COPIED:
            copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
            self.directory.mkdir(exist_ok=True)
            copy(CHECKOUT / name, self.directory / name)
        make_environment(machine, Path(LAUNCH, ".venv"))
        # It has all that `make install` would bring.
        self.directory.joinpath(".venv/.installed").touch()

    def run(self, command: str) -> str:
        """Run a line of shell in the checkout; give what it said."""
        return self.machine.run(
            *("env", f"--chdir={LAUNCH}", f"PATH={os.environ['PATH']}", "bash", "-c", command),
            within_s=COMMAND_WITHIN_S,
        )

    def change(self, name: str, *changes: tuple[str, str]) -> None:
        """Change a file of the checkout.

        Raises:
            ValueError: It does not hold what was to be changed.

        """
        path = self.directory / name
        text = path.read_text()
        for old, new in changes:
            if old not in text:
                msg = f"{name} has no {old}"
                raise ValueError(msg)
            text = text.replace(old, new)
        path.write_text(text)


class Hosts:
    """Hosts for a cluster's file, with the package on them already.

    Args:
        bed: The machines.
        names: Which of them are hosts; the first is the head's.
        launcher: Where `ray up` is called, and wheels were made.
    """

    def __init__(self, bed: Testbed, names: Sequence[str], launcher: Launcher) -> None:
        self._machines = [bed[name] for name in names]
        self.head = self._machines[0]
        for machine in self._machines:
            self._prepare(machine, launcher)
        installing = [self._install(machine, launcher.directory / "dist") for machine in self._machines]
        if failed := [each.output() for each in installing if each.wait(INSTALLED_WITHIN_S)]:
            raise RuntimeError("\n".join(failed))

    def run(self, *command: str, within_s: float = 200) -> str:
        """Run our command on the head's machine, as its user does in a login shell; give what it said."""
        words = " ".join(command)
        settings = "set -a; . /etc/ezthrottle/ray-node.env; set +a"
        return self.head.run(
            "bash", "-c", f"cd /srv; {settings}; {ENVIRONMENT}/bin/ezthrottle {words}", within_s=within_s
        )

    def end_ray(self) -> None:
        """End what `ray down` leaves: on each machine its units."""
        for machine in self._machines:
            for unit in ("head", "node", "store"):
                machine.run(f"{BIN}/systemctl", "stop", f"ezthrottle-ray-{unit}")

    def _prepare(self, machine: Machine, launcher: Launcher) -> None:
        # The first that has a number is who ssh takes it to be.
        lay_over(machine, f"{_USER}{_ROOT}")
        machine.run("mkdir", "-p", "/etc/systemd/system", "/etc/sudoers.d", "/opt/ezthrottle", "/run/sshd")
        machine.run("mkdir", "-p", "/var/lib/ezthrottle", BIN)
        write(machine, "/var/lib/ezthrottle/.bashrc", "")
        write(machine, "/srv/.ssh/authorized_keys", launcher.public)
        for name, text in _STAND_INS.items():
            write(machine, f"{BIN}/{name}", text)
            machine.run("chmod", "755", f"{BIN}/{name}")
        self._let_in(machine)
        make_environment(machine, ENVIRONMENT)

    def _install(self, machine: Machine, wheels: Path) -> Process:
        shutil.copytree(wheels, machine.srv / "dist")
        machine.run("cp", "-r", "/srv/dist", str(CHECKOUT / "deploy"), "/opt/ezthrottle/")
        return machine.start("/opt/ezthrottle/deploy/ray/install.sh", "first")

    def _let_in(self, machine: Machine) -> None:
        machine.run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", "/srv/host-key")
        write(machine, "/srv/sshd_config", _SSHD.format(path=f"{BIN}:{os.environ['PATH']}"))
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        server = machine.start(str(sshd), "-D", "-e", "-f", "/srv/sshd_config")
        until(lambda: "Server listening" in server.output(), what=f"sshd on {machine.name}")


def lay_over(machine: Machine, users: str) -> None:
    """Give a machine what it may write without this one's changing, and users of its own."""
    for path in ("etc", "opt", "var/lib"):
        over = machine.srv / f"over-{path.replace('/', '-')}"
        for part in ("upper", "work"):
            over.joinpath(part).mkdir(parents=True)
        there = f"/srv/{over.name}"
        layers = f"lowerdir=/{path},upperdir={there}/upper,workdir={there}/work"
        machine.run("mount", "-t", "overlay", "overlay", "-o", layers, f"/{path}")
    machine.run("mkdir", "-p", "-m", "700", "/srv/.ssh")
    write(machine, "/etc/hosts", machine.disk.joinpath("etc/hosts").read_text())
    write(machine, "/etc/passwd", f"{users}sshd:x:74:74::/run/sshd:/usr/sbin/nologin\n")
    write(machine, "/etc/group", "root:x:0:\nezthrottle:x:0:\n")
    # Debian's own would put the stand-ins out of the path.
    write(machine, "/etc/profile", "")


def write(machine: Machine, path: str, text: str) -> None:
    """Write a file there."""
    machine.srv.joinpath("written").write_text(text)
    machine.run("cp", "/srv/written", path)


def make_environment(machine: Machine, environment: Path) -> None:
    """Make a virtual environment there that sees the packages of this one."""
    machine.run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    beneath = sysconfig.get_paths()["purelib"]
    write(machine, f"{environment}/{SITE}/beneath.pth", f"{beneath}\n")
    for command, module in _SHIMS.items():
        write(machine, f"{environment}/bin/{command}", _SHIM.format(environment=environment, module=module))
        machine.run("chmod", "755", f"{environment}/bin/{command}")


_ROOT = "root:x:0:0:root:/srv:/bin/bash\n"
"""A machine's root is at home in /srv: that of this machine is everybody's."""
_USER = "ezthrottle:x:0:0::/var/lib/ezthrottle:/bin/bash\n"
_SSHD = """\
HostKey /srv/host-key
PermitRootLogin yes
StrictModes no
UsePAM no
SetEnv PATH={path}
"""


def make_wheels(code: Path, into: Path) -> None:
    """Build the package and its client from a checkout, as `make wheels` does."""
    for where in (code, code / "sdk"):
        subprocess.run(
            (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)),
            cwd=where,
            check=True,
            capture_output=True,
        )
    into.joinpath("constraints.txt").write_text("")
