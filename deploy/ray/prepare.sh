#!/bin/bash
# Makes machines ready for `ray up`, and writes deploy/ray/cluster.yaml for them; in the checkout, once:
#
#   deploy/ray/prepare.sh iad=10.0.0.1 lax=10.0.0.2 ord=10.0.0.3
#
# A word for each: the region that it is, and the address by which the others reach it. The first is the head's and the
# gateway's, too. It has to be let in as root over ssh; a key and a token of the cluster's own are made here.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
key=~/.ssh/ezthrottle-cluster

(($#)) || { echo "prepare: say which machines: iad=10.0.0.1 lax=10.0.0.2" >&2; exit 2; }
for machine; do
  [[ $machine =~ ^[a-z][a-z0-9-]*=[0-9a-zA-Z.:-]+$ ]] ||
    { echo "prepare: $machine has to be like iad=10.0.0.1: a region and an address" >&2; exit 2; }
done

[[ -e $here/ray.token ]] || (umask 077; openssl rand -hex 32 > "$here/ray.token")
[[ -e $key ]] || { mkdir -p -m 700 ~/.ssh && ssh-keygen -q -N '' -f "$key"; }

role=head
for machine; do
  region=${machine%%=*} address=${machine#*=}
  offers="\"region:$region\": 1000"
  [[ $role == node ]] || offers="\"gateway\": 1000, $offers"
  ssh-copy-id -i "$key" "root@$address"
  tar c -C "$here/../.." --exclude=ray.token deploy |
    ssh -i "$key" "root@$address" 'mkdir -p /opt/ezthrottle && tar x -C /opt/ezthrottle'
  ssh -n -i "$key" "root@$address" /opt/ezthrottle/deploy/ray/prepare-host.sh "'{$offers}'" "$address" $role
  role=node
done

workers=" []"
(($# == 1)) || workers=$(printf '\\n    - %s' "${@:2}" | sed 's/[a-z0-9-]*=//g')
sed -e '/^    - 10\.0\.0\./d' -e "s/^  head_ip: .*/  head_ip: ${1#*=}/" -e "s/^  worker_ips:.*/  worker_ips:$workers/" \
  "$here/cluster.local.yaml" > "$here/cluster.yaml"
