# The machines as network namespaces, joined by a bridge in a fourth one. Nothing here touches the machine that it runs
# on: mounts, process ids and /run are the scenario's own, and end with it however it ends.
# shellcheck shell=bash disable=SC2154 # `here`, `last` and `address` are the scenario's

if [ "${1:-}" != within ]; then
  if [ "$(id -u)" -ne 0 ]; then
    echo "scenario: run as root: network namespaces need it" >&2
    exit 1
  fi
  exec unshare --mount --pid --fork --kill-child --mount-proc -- \
    bash "$here/scenario" namespaces "${last:-}" within
fi
# The first process of a process namespace has to say what ends it.
trap 'exit 130' INT TERM
mount -t tmpfs tmpfs /run
work=$(mktemp -d -p /run)

declare -A pids=()

machines_up() {
  local name
  ip netns add switch
  ip -n switch link add bridge type bridge
  ip -n switch link set bridge up
  for name in "${!address[@]}"; do
    ip netns add "$name"
    ip -n "$name" link set lo up
    ip -n "$name" link add eth1 type veth peer name "$name" netns switch
    ip -n switch link set "$name" master bridge up
    ip -n "$name" address add "${address[$name]}/24" dev eth1
    ip -n "$name" link set eth1 up
    mkdir -p "$work/$name/log"
    : >"$work/$name/log/tortie"
  done
}

at() { echo "$work/$1$2"; }

on() { ip netns exec "$@"; }

place() { # machine, path, mode, owner: its input becomes this file. All here belongs to root
  local path
  path=$(at "$1" "$2")
  mkdir -p "$(dirname "$path")"
  cat >"$path"
  chmod "$3" "$path"
}

start() { # machine, service
  case "$2" in
  etcd)
    (
      set -a
      # shellcheck disable=SC1090 # written by the scenario
      . "$(at "$1" /etc/default/etcd)"
      exec ip netns exec "$1" etcd
    ) >>"$work/$1/log/etcd" 2>&1 9>&- &
    ;;
  tortie)
    ip netns exec "$1" "$(at "$1" /usr/bin/tortie)" run --config-file "$(at "$1" /etc/calico/felix.cfg)" \
      --last-good="$(at "$1" /var/lib/tortie/last-good)" 2>>"$work/$1/log/tortie" 9>&- &
    ;;
  esac
  pids[$1/$2]=$!
}

end() { # machine, service, signal
  local pid=${pids[$1/$2]:-}
  [ -n "$pid" ] || return 0
  unset "pids[$1/$2]"
  kill -s "$3" "$pid"
  wait "$pid" 2>/dev/null || true
}

stop() { end "$1" "$2" TERM; }

crash() { end "$1" "$2" KILL; }

logged() { # machine: what tortie has said
  cat "$work/$1/log/tortie"
}

serve() { # machine, port: a service of the name serve-PORT
  ip netns exec "$1" ncat --listen --keep-open --exec /bin/true "$2" 9>&- &
  pids[$1/serve-$2]=$!
}

serve_ssh() { serve "$1" 22; } # machines have the real one

enable() { :; } # nothing starts here by itself
disable() { :; }
