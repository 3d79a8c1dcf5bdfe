#!/bin/bash
# Installs on a host what `make wheels` made and `ray up` copied there, unless that is what it has: `install.sh RELEASE`.
# The release is any word. Another one than before is how a head that runs learns that its hosts have something to install.
set -euo pipefail
cd "${EZTHROTTLE_ROOT:-/opt/ezthrottle}"

wanted="${1:?say which release this is} $(cat dist/* | sha256sum)"
[[ ! -e installed || $(< installed) != "$wanted" ]] || exit 0
# Whatever happens from here on, the next call begins anew.
rm -f installed
test -x .venv/bin/pip || python3 -m venv .venv
.venv/bin/pip install --quiet --no-index --no-deps --force-reinstall --find-links dist ezthrottle-server ezthrottle
# What it stands on, at the versions that were tested. An index of your own goes into the hosts' pip.conf.
.venv/bin/pip install --quiet --constraint dist/constraints.txt ezthrottle-server
echo "$wanted" > installed
