# shellcheck shell=bash
# What several scripts share. They source it from their own folder: source "$(dirname "$0")/lib.sh"
#
# bed-image, bed-archive and bed-internet do without it: they are also copied, by themselves, to machines where tests run.

# shellcheck disable=SC2034 # for those that source this
REPOSITORY=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:${HOME:-/root}/.cargo/bin

# Says what is wrong, and ends.
die() { echo "${0##*/}: $*" >&2; exit 1; }

# Prints how the script is called, which is indented in its header, and ends.
usage() { { echo "usage:"; sed -n 's/^#   /  /p' "$0"; } >&2; exit 2; }

needs_root() { [ "$(id -u)" = 0 ] || die "needs root"; }

# ---- private hosts (scripts/bed); DIR is the bed's directory ------------------------------------------------------

BED='' # its process, which ends the bed

# Starts a bed, and returns when it is ready.
start_bed() {
  "$REPOSITORY/scripts/bed" "$DIR" </dev/null >"$DIR/bed.log" 2>&1 &
  BED=$!
  # It has deadlines of its own, and ends where it doesn't meet them.
  until [ -e "$DIR/ready" ]; do
    kill -0 "$BED" 2>/dev/null || { cat "$DIR/bed.log" >&2; exit 1; }
    sleep 0.1
  done
}

stop_bed() {
  [ -n "$BED" ] || return 0
  kill "$BED" 2>/dev/null || true
  wait "$BED" 2>/dev/null || true
  BED=''
}

# Runs a program of the bed's file system in the bed.
in_bed() { nsenter --target "$(cat "$DIR/pid")" --mount --net --pid -- "$@"; }

# The bed's Docker.
bed_docker() { docker --host "unix://$DIR/docker.sock" "$@"; }

# wait_for_daemon NAME LOG COMMAND...: until the command succeeds, for 90 seconds, while the process DAEMON lives.
wait_for_daemon() {
  local name=$1 log=$2 until=$((SECONDS + 90))
  shift 2
  until "$@" >/dev/null 2>&1; do
    kill -0 "$DAEMON" 2>/dev/null || die "$name ended: $(tail -n 3 "$log")"
    [ "$SECONDS" -lt "$until" ] || die "$name did not come up: $(tail -n 3 "$log")"
    sleep 0.1
  done
}
