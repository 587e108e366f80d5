# The machines of the Vagrantfile, over the connection of `vagrant ssh`.
# shellcheck shell=bash disable=SC2154 # `here` and `address` are the scenario's

work=$(mktemp -d)
begun=$(date +%s)

machines_up() {
  local name
  (cd "$here" && vagrant ssh-config >"$work/ssh")
  trap machines_left EXIT
  for name in "${!address[@]}"; do
    # One connection for all commands, which would otherwise take a second each.
    ssh -F "$work/ssh" -o ControlMaster=yes -o ControlPath="$work/$name" -fN "$name"
  done
  begun=$(on host-1 date +%s) # by their clock
}

machines_left() {
  local name
  for name in "${!address[@]}"; do
    ssh -F "$work/ssh" -o ControlPath="$work/$name" -O exit "$name" 2>/dev/null || true
  done
  rm -rf "$work"
}

at() { echo "$2"; }

on() { # machine, command: as root
  local word line=sudo
  for word in "${@:2}"; do line+=" '${word//\'/\'\\\'\'}'"; done
  ssh -F "$work/ssh" -o ControlPath="$work/$1" "$1" "$line"
}

place() { # machine, path, mode, owner: its input becomes this file
  on "$1" install -D -m "$3" -o "${4:-root}" /dev/stdin "$2"
}

start() { # machine, service. tortie has started when policy is in force, which the scenario does not wait for
  on "$1" systemctl start --no-block "$2"
}

stop() { on "$1" systemctl stop "$2"; }

crash() { on "$1" systemctl kill --signal KILL "$2"; }

logged() { # machine: what tortie has said
  on "$1" journalctl --unit tortie --output cat --since "@$begun"
}

serve() { # machine, port: a service of the name serve-PORT, unless an earlier run has left it
  on "$1" systemctl is-active --quiet "serve-$2" ||
    on "$1" systemd-run --quiet --collect --unit "serve-$2" ncat --listen --keep-open --exec /bin/true "$2"
}

serve_ssh() { :; } # is there

enable() { on "$1" systemctl enable --quiet "$2"; }

disable() { on "$1" systemctl disable --quiet "$2"; }
