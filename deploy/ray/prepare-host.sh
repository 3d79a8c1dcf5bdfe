#!/bin/bash
# Makes a Debian machine one of the cluster's hosts, as root, once: `prepare-host.sh RESOURCES ADDRESS [head]`.
#
#   prepare-host.sh '{"region:lax": 1000}' 10.0.0.2
#   prepare-host.sh '{"gateway": 1000, "region:iad": 1000}' 10.0.0.1 head
#
# prepare.sh calls it; ADDRESS is the one by which the others reach this machine.
# What `ray up` needs of it then: ssh as the user ezthrottle, with the keys that root lets in, and leave to restart the units.
set -euo pipefail

resources=${1:?say what this machine offers}
address=${2:?say at which address the others reach it}
role=${3:-node}
here=$(dirname "$(realpath "$0")")

DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet python3-venv rsync sudo $([[ $role == node ]] || echo redis-server)
id ezthrottle 2>/dev/null || useradd --system --create-home --home-dir /var/lib/ezthrottle --shell /bin/bash ezthrottle
install -d -m 700 -o ezthrottle -g ezthrottle /var/lib/ezthrottle /var/lib/ezthrottle/.ssh
install -m 600 -o ezthrottle -g ezthrottle ~root/.ssh/authorized_keys /var/lib/ezthrottle/.ssh/authorized_keys
install -d -m 755 -o ezthrottle -g ezthrottle /etc/ezthrottle /opt/ezthrottle
chown -R ezthrottle: /opt/ezthrottle
printf "RESOURCES='%s'\nADDRESS=%s\n" "$resources" "$address" > /etc/ezthrottle/node.env
# A login shell, `ray exec` too, has what commands need to join the cluster.
printf 'set -a; . /etc/ezthrottle/ray-node.env; set +a\nPATH=/opt/ezthrottle/.venv/bin:$PATH\n' > /var/lib/ezthrottle/.profile

cp "$here"/ezthrottle-ray-*.service /etc/systemd/system/
systemctl daemon-reload
if [[ $role == head ]]; then
  # Debian's own unit has a Redis for everybody: this one is the head's.
  systemctl disable --now redis-server 2>/dev/null || true
  test -e /etc/ezthrottle/redis.env || (umask 077; printf 'RAY_REDIS_ADDRESS=127.0.0.1:6380\nRAY_REDIS_PASSWORD=%s\n' \
    "$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')" > /etc/ezthrottle/redis.env)
  systemctl enable --now ezthrottle-ray-store
fi
echo "ezthrottle ALL=(root) NOPASSWD: /usr/bin/systemctl restart ezthrottle-ray-$role" > /etc/sudoers.d/ezthrottle
# Enabled, not started: the head may not be there yet, and the package is not.
systemctl enable "ezthrottle-ray-$role"
