#!/bin/bash
# Runs Ray on this machine until it ends: `ray-node.sh head` or `ray-node.sh node`. The units call it, with ray-node.env
# and node.env as their environment. Exit code 2: the configuration is wrong, and another start would not mend it.
set -euo pipefail

role=${1:-}
bin=${EZTHROTTLE_BIN:-/opt/ezthrottle/.venv/bin}
port=6379

refuse() {
  echo "ray-node: $1" >&2
  exit 2
}

[[ $role == head || $role == node ]] || refuse "say head or node"
[[ -x $bin/ray ]] || refuse "$bin/ray is not there: install the package first"
[[ ${RAY_AUTH_MODE:-} == token ]] || refuse "RAY_AUTH_MODE has to be token: else whoever reaches the ports runs code"
[[ -s ${RAY_AUTH_TOKEN_PATH:-} ]] || refuse "RAY_AUTH_TOKEN_PATH names no file with a token: ${RAY_AUTH_TOKEN_PATH:-}"
"$bin/python" -c 'import json, os
offers = json.loads(os.environ.get("RESOURCES", "{}"))
assert all(type(amount) in (int, float) for amount in offers.values())' 2>/dev/null ||
  refuse "RESOURCES has to be like {\"region:lax\": 1000}: ${RESOURCES:-}"

options=(--block --disable-usage-stats --num-cpus=1 --object-store-memory=80000000 "--resources=${RESOURCES:-{\}}")
# Where the machine has several addresses, or no way out, Ray can't know which one the others reach.
[[ -z ${ADDRESS:-} ]] || options+=("--node-ip-address=$ADDRESS")

if [[ $role == head ]]; then
  options+=(--head "--port=$port" --include-dashboard=false)
  # `ray start` reads the address from its environment, and not the password.
  [[ -z ${RAY_REDIS_PASSWORD:-} ]] || options+=("--redis-password=$RAY_REDIS_PASSWORD")
  # `ray up` leaves it here: the head starts the other hosts by it.
  [[ ! -e ~/ray_bootstrap_config.yaml ]] || options+=("--autoscaling-config=$HOME/ray_bootstrap_config.yaml")
else
  [[ -n ${HEAD:-} ]] || refuse "HEAD has to name the head's address"
  # `ray start` tries with pauses that grow, and gives up in the end; here it begins within a second.
  until timeout 1 bash -c "exec 3<>/dev/tcp/$HEAD/$port" 2>/dev/null; do sleep 0.5; done
  options+=("--address=$HEAD:$port")
fi
exec "$bin/ray" start "${options[@]}"
