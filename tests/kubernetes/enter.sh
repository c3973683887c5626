#!/bin/sh
# Run a command in a network namespace of its own: `tests/kubernetes/enter.sh COMMAND...`.  Only loopback is there, a
# bridge with 10.244.0.1 for the networks of pods (10.244.0.0/16), and every address of 10.96.0.0/16 (services) is
# bindable.  As root, or as an ordinary user where user namespaces are allowed.
set -eu

for way in -nm -Urnm; do
  if unshare "$way" true 2>/dev/null; then
    exec unshare "$way" sh -euc '
      ip link set lo up
      ip route replace local 10.96.0.0/16 dev lo
      ip link add pods type bridge || { echo "make: needs network bridges, as container engines do" >&2; exit 1; }
      ip address add 10.244.0.1/16 dev pods
      ip link set pods up
      exec "$@"' sh "$@"
  fi
done
echo 'make: needs a network namespace: unshare (util-linux) as root, or user namespaces for ordinary users' >&2
exit 1
