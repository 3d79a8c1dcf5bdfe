"""Machines of a testbed as `ray up` wants its hosts: reached by ssh, with a package of their own, and units.

Each has `/etc` and `/opt` of its own over this machine's, a virtual environment in which everything that the
package stands on is found already, and stand-ins for sudo and systemctl: no machine here has an init system.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from bench.testbed.bed import Testbed
from bench.testbed.machine import CHECKOUT, Machine, Process
from bench.testbed.service import until

TOOLS = ("sshd", "ssh", "ssh-keygen", "rsync")
MISSING = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None]
HOSTS_MISSING = f"`ray up` needs {', '.join(MISSING)}" if MISSING else None
"""Why there can be no such hosts; None where there can."""
ENVIRONMENT = Path("/opt/ezthrottle/.venv")
SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
BIN = "/srv/bin"
KEY = "cluster-key"
INSTALLED_WITHIN_S = 240.0
_SUDO = '#!/bin/sh\nexec "$@"\n'
_SYSTEMCTL = f'#!/bin/sh\ncd {CHECKOUT}\nexec {sys.executable} -m bench.testbed.systemctl "$@"\n'
_SHIM = f"#!{ENVIRONMENT}/bin/python\nimport sys\nfrom {{module}} import main\nsys.exit(main())\n"


class Hosts:
    """Hosts for a cluster's file.

    Args:
        bed: The machines.
        offers: What each host offers to Ray, as node.env says it; the first is the head's.
        launcher: Where `ray up` is called.
        wheels: What is installed on them from the beginning.
    """

    def __init__(self, bed: Testbed, offers: dict[str, str], launcher: str, wheels: Path) -> None:
        self._bed = bed
        self._offers = offers
        self.launcher = bed[launcher]
        self._make_key()
        for name, resources in offers.items():
            self._prepare(bed[name], resources)
        installing = [self._install(bed[name], wheels) for name in offers]
        if failed := [each.output() for each in installing if each.wait(INSTALLED_WITHIN_S)]:
            raise RuntimeError("\n".join(failed))

    @property
    def head(self) -> Machine:
        """The head's machine."""
        return self._bed[next(iter(self._offers))]

    def make_files(self, wheels: Path, release: str) -> None:
        """Put where `ray up` is called what it copies: the shipped files, a token, and some wheels. Only the
        hosts' addresses, the user, the key and the release are others than in what is shipped.
        """
        launch = self.launcher.srv / "launch"
        shutil.rmtree(launch, ignore_errors=True)
        shutil.copytree(CHECKOUT / "deploy", launch / "deploy")
        shutil.copytree(wheels, launch / "dist")
        token = launch / "deploy/ray/ray.token"
        token.touch(mode=0o600)
        token.write_text("0123456789abcdef" * 4)
        file = launch / "deploy/ray/cluster.local.yaml"
        text = file.read_text()
        for shipped, name in zip(("10.0.0.1", "10.0.0.2", "10.0.0.3"), self._offers, strict=True):
            text = text.replace(shipped, self._bed[name].address)
        text = text.replace("ssh_user: ezthrottle", "ssh_user: root").replace(
            "install.sh first", f"install.sh {release}"
        )
        file.write_text(text.replace("~/.ssh/ezthrottle-cluster", f"/srv/{KEY}"))

    def ray(self, *command: str, within_s: float = 300) -> str:
        """Call `ray` with the cluster's file from where it was put; give what it said."""
        name, *options = command
        return self.launcher.run(
            *(
                "env",
                "--chdir=/srv/launch",
                "RAY_UP_enable_autoscaler_v2=0",
                f"PATH={BIN}:{os.environ['PATH']}",
            ),
            *(str(Path(sys.executable).with_name("ray")), name),
            *("deploy/ray/cluster.local.yaml", *options),
            within_s=within_s,
        )

    def run(self, *command: str, within_s: float = 200) -> str:
        """Run our command on the head's machine, as its user does in a login shell; give what it said."""
        words = " ".join(command)
        settings = "set -a; . /etc/ezthrottle/ray-node.env; set +a"
        return self.head.run(
            "bash", "-c", f"cd /srv; {settings}; {ENVIRONMENT}/bin/ezthrottle {words}", within_s=within_s
        )

    def end_ray(self) -> None:
        """End what `ray down` leaves: on each machine its units."""
        for name in self._offers:
            for unit in ("ezthrottle-ray-head", "ezthrottle-ray-node"):
                self._bed[name].run(f"{BIN}/systemctl", "stop", unit)

    def _make_key(self) -> None:
        key = self.launcher.srv / KEY
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", str(key)], check=True)
        self._public = key.with_suffix(".pub").read_text()
        self._provide(self.launcher)

    def _provide(self, machine: Machine) -> None:
        tools = machine.srv / "bin"
        tools.mkdir(exist_ok=True)
        for name, text in {"sudo": _SUDO, "systemctl": _SYSTEMCTL}.items():
            tools.joinpath(name).write_text(text)
            tools.joinpath(name).chmod(0o755)

    def _prepare(self, machine: Machine, resources: str) -> None:
        if machine is not self.launcher:
            self._provide(machine)
        for path in ("etc", "opt"):
            over = machine.srv / f"over-{path}"
            for part in ("upper", "work"):
                over.joinpath(part).mkdir(parents=True)
            layers = f"lowerdir=/{path},upperdir=/srv/over-{path}/upper,workdir=/srv/over-{path}/work"
            machine.run("mount", "-t", "overlay", "overlay", "-o", layers, f"/{path}")
        self._write(machine, "/etc/hosts", machine.disk.joinpath("etc/hosts").read_text())
        machine.run("mkdir", "-p", "/etc/ezthrottle", "/opt/ezthrottle", "/srv/.ssh", "/run/sshd")
        self._write(
            machine, "/etc/ezthrottle/node.env", f"RESOURCES='{resources}'\nADDRESS={machine.address}\n"
        )
        self._let_in(machine)
        self._make_environment(machine)

    def _install(self, machine: Machine, wheels: Path) -> Process:
        shutil.copytree(wheels, machine.srv / "dist")
        machine.run("cp", "-r", "/srv/dist", str(CHECKOUT / "deploy"), "/opt/ezthrottle/")
        return machine.start("/opt/ezthrottle/deploy/ray/install.sh", wheels.name)

    def _write(self, machine: Machine, path: str, text: str) -> None:
        machine.srv.joinpath("written").write_text(text)
        machine.run("cp", "/srv/written", path)

    def _let_in(self, machine: Machine) -> None:
        # Its root is at home in /srv: that of this machine is everybody's.
        self._write(machine, "/etc/passwd", _PASSWD)
        # Debian's own profile would put the stand-ins out of the path.
        self._write(machine, "/srv/.profile", f"export PATH={BIN}:{os.environ['PATH']}\n")
        self._write(machine, "/srv/.bashrc", "")
        self._write(machine, "/srv/.ssh/authorized_keys", self._public)
        machine.run("ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", "/srv/host-key")
        self._write(machine, "/srv/sshd_config", _SSHD.format(bin=BIN, path=os.environ["PATH"]))
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        server = machine.start(str(sshd), "-D", "-e", "-f", "/srv/sshd_config")
        until(lambda: "Server listening" in server.output(), what=f"sshd on {machine.name}")

    def _make_environment(self, machine: Machine) -> None:
        machine.run(sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT))
        beneath = sysconfig.get_paths()["purelib"]
        self._write(machine, f"{ENVIRONMENT}/{SITE}/beneath.pth", f"{beneath}\n")
        for command, module in {"ray": "ray.scripts.scripts", "pip": "pip._internal.cli.main"}.items():
            self._write(machine, f"{ENVIRONMENT}/bin/{command}", _SHIM.format(module=module))
            machine.run("chmod", "755", f"{ENVIRONMENT}/bin/{command}")


_PASSWD = "root:x:0:0:root:/srv:/bin/bash\nsshd:x:74:74::/run/sshd:/usr/sbin/nologin\n"
_SSHD = """\
HostKey /srv/host-key
AuthorizedKeysFile /srv/.ssh/authorized_keys
PermitRootLogin yes
StrictModes no
UsePAM no
SetEnv PATH={bin}:{path} HOME=/srv
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
