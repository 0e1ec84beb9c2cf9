# shellcheck shell=bash
# What `scripts/bench jail` measures: a command that is filtered without a container, by type of jail. Sourced by scripts/bench,
# inside the bed; it knows of that one DIR, NAME, SERVER, `note`, `median`, `ratio` and `absolute`.
#
# All are measured in turn, so that what else the machine does at that time hits them alike.

JAILS=(nsjail notify landjail)

measure_jails() {
  local RUNS=$1 ROUNDS=$2 jail
  for _ in $(seq "$RUNS"); do
    for jail in direct "${JAILS[@]}"; do note "$jail" start "$(timed jailed "$jail" true)"; done
  done
  for _ in $(seq "$ROUNDS"); do
    for jail in direct "${JAILS[@]}"; do
      calls "$jail"
      note "$jail" kept "$(requests "$jail" kept)"
      note "$jail" new "$(requests "$jail" new)"
    done
  done
  jail_report
}

# jailed TYPE COMMAND...: where the type is `direct`, without a jail.
jailed() {
  if [ "$1" = direct ]; then "${@:2}"; return; fi
  boundary-shim jail --jail-type "$1" --log "$DIR/jail.jsonl" --allow "cidr=$SERVER/32 port=8081" --allow "domain=$NAME port=8081" \
    -- "${@:2}"
}

# Requests a second, over 16 connections.
requests() { jailed "$1" "$DIR/bin/load" "$SERVER:8081" "$NAME" http "$2" 16 1 | cut -d ' ' -f 1; }

# A socket that is made and connected, in microseconds: to a server of the command's own, and to one outside.
calls() {
  local own outside
  read -r own outside < <(jailed "$1" python3 -c "$CALLS" "$SERVER" 8081)
  note "$1" own "$own"
  note "$1" outside "$outside"
}

CALLS='
import socket, statistics, sys, time
def measure(to, times):
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        one = socket.socket()
        one.connect(to)
        took.append(time.perf_counter() - begin)
        one.close()
    return statistics.median(took) * 1e6
server = socket.create_server(("127.0.0.1", 0), backlog=1000)
print(measure(server.getsockname(), 500), measure((sys.argv[1], int(sys.argv[2])), 500))
'

jail_report() {
  local jail
  echo "| jail | start of \`true\` (median of $RUNS), ms more | socket() and connect(), µs: to its own server / outside | kept requests/s, of direct | new connections/s, of direct |"
  echo '|---|---|---|---|---|'
  for jail in "${JAILS[@]}"; do
    # shellcheck disable=SC2016 # backticks of a table
    printf '| `%s` | %s | %.0f / %.0f | %s | %s |\n' "$jail" \
      "$(awk -v a="$(median "$DIR/results/start.direct")" -v b="$(median "$DIR/results/start.$jail")" 'BEGIN {printf "%.1f", (b - a) / 1000}')" \
      "$(median "$DIR/results/own.$jail")" "$(median "$DIR/results/outside.$jail")" "$(ratio "$jail" kept)" "$(ratio "$jail" new)"
  done
  printf '| none | (%.1f) | %.0f / %.0f | (%s) | (%s) |\n' "$(median "$DIR/results/start.direct" | awk '{print $1 / 1000}')" \
    "$(median "$DIR/results/own.direct")" "$(median "$DIR/results/outside.direct")" "$(absolute direct kept)" "$(absolute direct new)"
}
