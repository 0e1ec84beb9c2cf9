# shellcheck shell=bash
# What `scripts/bench start` measures: the calls of a container's life, lives side by side, a host that has many containers already,
# and where the time of one start goes. Sourced by scripts/bench, inside the bed; it knows of that one DIR, `note` and `timed`.
#
# Every measure is taken with runc and with boundary-shim in turn, so that what else the machine does at that time hits both alike.

RUNTIMES=(runc boundary-shim)
AT_ONCE=8   # lives side by side,
IN_A_ROW=3  # and how many each of those makes, one after the other
ALIVE=(50 150 300)
# What the trace counts as waiting: a system call of one of our processes that took so long. Milliseconds.
WAITED=0.5

measure_start() {
  local runs=$1
  exec {NEVER}<> <(:)
  single "$runs"
  where_it_goes $(((runs + 2) / 3))
  at_once $(((runs + 2) / 3))
  alive $(((runs + 1) / 2))
}

# ---- the calls ---------------------------------------------------------------------------------------------------

single() {
  local run runtime
  for run in $(seq "$1"); do
    for runtime in "${RUNTIMES[@]}"; do life "$runtime" "single-$run"; done
  done
  echo "
| median of $1, ms (least to most) | runc $(runc --version | awk 'NR == 1 {print $3}') | boundary-shim | more, of pairs |
|---|---|---|---|"
  local what
  for what in create 'create + start' start exec delete; do compared "$what"; done
}

# life RUNTIME ID: back to back, with an exec while it runs.
life() {
  local runtime=$1 id=$2-$1 create start
  bundle "$id"
  create=$(timed "$runtime" create --pid-file "$DIR/$id/pid" --bundle "$DIR/$id" "$id")
  start=$(timed "$runtime" start "$id")
  note "$runtime" create "$create"
  note "$runtime" start "$start"
  note "$runtime" 'create + start' $((create + start))
  note "$runtime" exec "$(timed "$runtime" exec "$id" true)"
  end_process "$id"
  note "$runtime" delete "$(timed "$runtime" delete "$id")"
  rm -r "${DIR:?}/$id"
}

# bundle ID: of its own, since the shim edits it.
bundle() {
  mkdir "$DIR/$1"
  jq '.root.path = "../bundle/rootfs"' "$DIR/bundle/original.json" >"$DIR/$1/config.json"
}

# end_process ID: kills the container's process, and waits without a process of our own, which would take part of the machine.
end_process() {
  local pid
  pid=$(<"$DIR/$1/pid")
  kill -KILL "$pid"
  while [ -e "/proc/$pid" ]; do read -r -t 0.002 -u "$NEVER" || true; done
}

# compared MEASURE [TITLE]: a row; the last column is the median of what one run of ours took more than runc's beside it.
compared() {
  local difference
  difference=$(paste "$DIR/results/$1.boundary-shim" "$DIR/results/$1.runc" | awk '{print $1 - $2}' | sort -n | spread %+.1f)
  echo "| ${2:-$1} | $(sort -n "$DIR/results/$1.runc" | spread %.1f) | $(sort -n "$DIR/results/$1.boundary-shim" | spread %.1f) | $difference |"
}

# spread FORMAT: median, least and most of sorted lines, microseconds in and milliseconds out.
spread() {
  # shellcheck disable=SC2153 # scripts/bench has it
  awk -v one="$1" "$MEDIAN"' END {printf one " (" one " to " one ")", median() / 1000, a[1] / 1000, a[NR] / 1000}'
}

# ---- side by side ------------------------------------------------------------------------------------------------

at_once() {
  local round runtime
  for round in $(seq "$1"); do
    for runtime in "${RUNTIMES[@]}"; do note "$runtime" rate "$(crowd "$runtime" "$round")"; done
  done
  echo "
$AT_ONCE lives at once (create, start, kill, delete), lives/s, median of $1 rounds (least to most): \
runc $(rate runc), boundary-shim $(rate boundary-shim); of runc's in the same round: $(
    paste "$DIR/results/rate.boundary-shim" "$DIR/results/rate.runc" | awk '{print $1 / $2}' | sort -n |
      awk "$MEDIAN"' END {printf "%.2f (%.2f-%.2f)", median(), a[1], a[NR]}')"
}

rate() { sort -n "$DIR/results/rate.$1" | awk "$MEDIAN"' END {printf "%.1f (%.1f-%.1f)", median(), a[1], a[NR]}'; }

# crowd RUNTIME ROUND: prints the lives in a second.
crowd() {
  local runtime=$1 before one workers=()
  for one in $(seq "$AT_ONCE"); do bundle "crowd-$2-$one-$runtime"; done
  before=${EPOCHREALTIME/./}
  for one in $(seq "$AT_ONCE"); do
    in_a_row "$runtime" "crowd-$2-$one-$runtime" &
    workers+=($!)
  done
  wait_for_all "${workers[@]}"
  awk -v lives=$((AT_ONCE * IN_A_ROW)) -v took=$((${EPOCHREALTIME/./} - before)) 'BEGIN {print lives * 1000000 / took}'
  rm -r "$DIR/crowd-$2-"*
}

wait_for_all() { local worker; for worker; do wait "$worker"; done; }

# in_a_row RUNTIME ID
in_a_row() {
  local runtime=$1 id=$2
  for _ in $(seq "$IN_A_ROW"); do
    quietly "$id" "$runtime" create --pid-file "$DIR/$id/pid" --bundle "$DIR/$id" "$id"
    quietly "$id" "$runtime" start "$id"
    end_process "$id"
    quietly "$id" "$runtime" delete "$id"
  done
}

# quietly ID COMMAND...
quietly() { "${@:2}" </dev/null >/dev/null 2>"$DIR/$1/stderr" || { cat "$DIR/$1/stderr" >&2; exit 1; }; }

# ---- many alive --------------------------------------------------------------------------------------------------

alive() {
  local count run runtime there=0
  echo "
| create, median of $1, ms (least to most) | runc | boundary-shim | more, of pairs |
|---|---|---|---|"
  compared create 'none alive'
  for count in "${ALIVE[@]}"; do
    # Of each runtime as many: what many namespaces cost the kernel is then the same for both.
    while [ "$there" -lt "$count" ]; do
      there=$((there + 1))
      for runtime in "${RUNTIMES[@]}"; do
        bundle "alive-$there-$runtime"
        quietly "alive-$there-$runtime" "$runtime" create --pid-file "$DIR/alive-$there-$runtime/pid" \
          --bundle "$DIR/alive-$there-$runtime" "alive-$there-$runtime"
        quietly "alive-$there-$runtime" "$runtime" start "alive-$there-$runtime"
      done
    done
    for run in $(seq "$1"); do
      for runtime in "${RUNTIMES[@]}"; do one_more "$runtime" "more-$count-$run-$runtime" "create, $count alive"; done
    done
    compared "create, $count alive" "$count of each alive"
  done
}

# one_more RUNTIME ID MEASURE
one_more() {
  bundle "$2"
  note "$1" "$3" "$(timed "$1" create --pid-file "$DIR/$2/pid" --bundle "$DIR/$2" "$2")"
  end_process "$2"
  quietly "$2" "$1" delete "$2"
  rm -r "${DIR:?}/$2"
}

# ---- where the time goes -----------------------------------------------------------------------------------------

# where_it_goes RUNS: has the kernel write down which programs of one start began, ended and waited, and prints of RUNS starts the
# one whose time is the median.
where_it_goes() {
  local run trace=$DIR/tracefs/instances/boundary-bench-$$
  mkdir "$DIR/tracefs"
  mount -t tracefs none "$DIR/tracefs" 2>/dev/null || { echo "
Where the time goes isn't shown: this kernel has no tracefs."; return; }
  mkdir "$trace"
  # It is no file of this host's, but the kernel's.
  trap 'rmdir "$DIR/tracefs/instances/boundary-bench-$$"' EXIT
  echo 8192 >"$trace/buffer_size_kb"
  for run in $(seq "$1"); do
    note boundary-shim 'start, not traced' "$(start_time)"
    tracing "$trace" 1
    note boundary-shim 'start, traced' "$(start_time "$trace/trace_marker")"
    tracing "$trace" 0
    cat "$trace/trace" >"$DIR/trace-$run"
    echo >"$trace/trace"
  done
  local traced="$DIR/results/start, traced.boundary-shim"
  run=$(nl "$traced" | sort -n -k 2 | awk -v half=$((($1 + 1) / 2)) 'NR == half {print $1}')
  echo "
Where the time of one start goes, create and start back to back, by the kernel's trace; of $1 the one with the median time. They took $(sort -n "$traced" | spread %.1f) ms, those in turn with them that weren't traced \
$(sort -n "$DIR/results/start, not traced.boundary-shim" | spread %.1f).
"
  timeline "$DIR/trace-$run"
}

# tracing TRACE ON: programs' beginnings and ends of all; of ours, the system calls, but for those that are many and never wait long.
tracing() {
  local events=$1/events event
  if [ "$2" = 1 ]; then
    echo 'comm == "boundary-shim"' >"$events/syscalls/filter"
    echo 0 >"$events/syscalls/sys_enter_execve/filter"
  fi
  for event in sched/sched_process_{fork,exec,exit} syscalls; do echo "$2" >"$events/$event/enable"; done
  for event in "$events"/syscalls/sys_*_{open,openat,close,lseek,*stat,statx,access,readlink*,rt_sig*,prctl,mmap,mprotect,brk,fcntl}; do
    [ ! -e "$event" ] || echo 0 >"$event/enable"
  done
}

# start_time [MARKER]: prints microseconds; where the trace is to have marks, they go there.
start_time() {
  local id=traced create start marker=${1:-/dev/null}
  bundle "$id"
  echo called >"$marker"
  create=$(timed boundary-shim create --pid-file "$DIR/$id/pid" --bundle "$DIR/$id" "$id")
  echo 'create returned' >"$marker"
  start=$(timed boundary-shim start "$id")
  echo 'start returned' >"$marker"
  end_process "$id"
  quietly "$id" boundary-shim delete "$id"
  rm -r "${DIR:?}/$id"
  echo $((create + start))
}

# timeline TRACE: whoever was executed by the caller, by runc or by us, and what of ours waited.
timeline() {
  echo '| at, ms | for, ms | who | |
|---|---|---|---|'
  awk -v waited="$WAITED" "$TIMELINE" "$1" | sort -t '|' -k 2,2n -k 3,3nr
}

# A line is COMM-PID [CPU] FLAGS SECONDS: EVENT, and the first is our own mark. A process goes by the program that it, or whoever
# forked it, executed last.
# shellcheck disable=SC2016 # for awk
TIMELINE='
function row(at, end, who, what) { printf "| %.1f | %.1f | %s | %s |\n", at - zero, end - at, who, what }
function field(name,   parts) { split(event, parts, name "="); split(parts[2], parts, " "); return parts[1] }
function ends(pid, what) {
  if (pid in since) row(since[pid], now, title[pid], what)
  delete since[pid]
}
{
  bracket = match($0, / \[[0-9]+\] /) + 1
  pid = substr($0, 1, bracket - 1); sub(/ +$/, "", pid); sub(/^.*-/, "", pid)
  split(substr($0, bracket), words, " "); now = words[3] * 1000
  event = substr($0, bracket); sub(/^[^:]*: /, "", event)
}
event == "tracing_mark_write: called" { zero = now; program[pid] = "caller" }
# What others do at the same time is no part of the start.
!(pid in program) { next }
event ~ /^tracing_mark_write: .* returned/ { row(now, now, "caller", substr(event, 21)) }
event ~ /start returned/ { exit }
event ~ /^sched_process_fork:/ { child = field("child_pid"); program[child] = program[pid]; delete since[child] }
event ~ /^sys_execve\(/ { called[pid] = now }
event ~ /^sched_process_exec:/ {
  by = program[pid]; file = field("filename")
  if (file ~ /^\/(proc|dev)\//) file = "runc init" # itself, or a copy in memory
  sub(/^.*\//, "", file)
  # One that executes itself again, and what an engine hook executes, is no step of its own.
  if (by ~ /^(caller|runc|runc init|boundary-shim)$/ && (file != by || file == "boundary-shim")) {
    ends(pid, "until it executes " file)
    title[pid] = file " (by " by ")"; since[pid] = pid in called ? called[pid] : now
  }
  program[pid] = file
}
event ~ /^sys_p?poll\(ufds: [^,]*, nfds: 3,/ && program[pid] == "boundary-shim" && pid in called {
  # What the standard library asks first, before main().
  row(called[pid], now, title[pid], "of it: loading, until its main()"); loads++; loading += now - called[pid]; delete called[pid]
}
event ~ /^sys_[a-z0-9_]+\(/ && event !~ /^sys_execve\(/ { split(event, words, "("); call[pid] = words[1]; began[pid] = now }
event ~ /^sys_[a-z0-9_]+ ->/ {
  split(event, words, " ")
  if (call[pid] == words[1] && now - began[pid] >= waited) row(began[pid], now, program[pid], "waits in " substr(words[1], 5) "()")
  delete call[pid]
}
event ~ /^sched_process_exit:/ { ends(pid, "until it ends") }
END {
  for (pid in since) ends(pid, "lives on")
  printf "| %.1f | | | boundary-shim was executed %d times: %.1f ms of loading |\n", now - zero, loads, loading
}'
