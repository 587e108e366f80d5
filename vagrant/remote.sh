# What the scenario runs on a machine: the name of a function and its arguments.
# shellcheck shell=bash

# Tries all at the same time, three arguments each: an address, `tcp/PORT` or `ping`, and the seconds to wait. Prints
# what became of each, in their order: open, refused, or dropped without an answer.
probe() {
  local outcomes number
  outcomes=$(mktemp -d)
  for ((number = 0; $# > 0; number++)); do
    attempt "$1" "$2" "$3" >"$outcomes/$(printf %03d "$number")" &
    shift 3
  done
  wait
  [ "$number" -eq 0 ] || cat "$outcomes"/*
  rm -r "$outcomes"
}

attempt() {
  local status=0
  case "$2" in
  ping) ping -n -q -c 1 -W "$3" "$1" >/dev/null 2>&1 || status=124 ;;
  tcp/*) timeout "$3" bash -c "</dev/tcp/$1/${2#tcp/}" 2>/dev/null || status=$? ;;
  esac
  case "$status" in
  0) echo open ;;
  124) echo dropped ;;
  *) echo refused ;;
  esac
}

# Sends one ping after the other to an address until its input ends; for the kernel each is a connection of its own.
# Prints how many were answered, and how many were sent.
watch_open() {
  local sent=0 answered=0 more=142
  while [ "$more" -gt 128 ]; do # that nothing came in time
    sent=$((sent + 1))
    if ping -n -q -c 1 -W 2 "$1" >/dev/null 2>&1; then answered=$((answered + 1)); fi
    more=0
    read -r -t 0.01 || more=$?
  done
  echo "$answered of $sent"
}

# Sends pings to an address every ten milliseconds until its input ends. Prints the same.
watch_dropped() {
  local report pinger
  report=$(mktemp)
  ping -n -q -i 0.01 "$1" >"$report" &
  pinger=$!
  cat >/dev/null
  kill -INT "$pinger"
  wait "$pinger" || true
  awk '/packets transmitted/ { print $4 " of " $1 }' "$report"
  rm "$report"
}

"$@"
