# shellcheck shell=bash
# How scripts/kubernetes-e2e, which sources this, sees what happens in its cluster: each function succeeds where what its name says
# is so. `check` counts, `soon` and `wait_for` give it time.

READY_SECONDS=60
CHECKED=0 FAILED=0

# Whether a pod can have a user namespace of its own here. Says so where not.
has_own_users() {
  local version
  version=$(in_bed containerd --version | grep -oE ' v?[0-9]+\.' | head -n 1)
  [ "${version//[^0-9]/}" -ge 2 ] || { echo "not checked: hostUsers: false needs containerd 2"; return 1; }
}

ready() { kube wait --for=condition=Ready "pod/$1" --timeout=90s "${@:2}"; }

# reaches POD CONTAINER URL [KUBECTL'S...]
reaches() { kube exec "$1" -c "$2" "${@:4}" -- curl -sSf -m 20 -o /dev/null "$3"; }

# Any answer, of a server whose authority nobody knows.
answers() { kube exec "$1" -c "$2" -- curl -sSk -m 20 -o /dev/null "$3"; }

# Refused as this product does: with an explanation, not by silence.
refused() {
  local answer error
  # Two files: together, one's words could come in the middle of the other's.
  answer=$(kube exec "$1" -c "$2" "${@:4}" -- curl -sSk -m 20 -w '%{http_code}' "$3" 2>"$DIR/kube/refused" || true)
  error=$(<"$DIR/kube/refused")
  if [[ $answer != *403 && $error != *"Could not resolve host"* && $error != *"alert access denied"* ]]; then
    echo "$answer $error"
    return 1
  fi
}

# ---- what controllers made ---------------------------------------------------------------------------------------

# rolled_out DEPLOYMENT COUNT: all its pods are there, and each is filtered.
rolled_out() {
  local pod
  kube rollout status "deployment/$1" --timeout=90s && soon has_pods "$1" "$2" || return 1
  for pod in $(pods_of "$1"); do
    reaches "$pod" web http://allowed.test/ && refused "$pod" web http://denied.test/ || return 1
  done
}

scaled() {
  kube scale "deployment/$1" --replicas="$2" && rolled_out "$1" "$2"
}

# Names, without those that are being deleted.
pods_of() { kube get pods --selector "app=$1" -o json | jq -r '.items[].metadata | select(.deletionTimestamp == null).name'; }

has_pods() { [ "$(pods_of "$1" | wc -l)" = "$2" ]; }

# No line of one is in the other.
disjoint() { ! grep -qxF "$1" <<<"$2"; }

# explained JOB WORDS: in its pods' logs.
explained() { kube logs --selector "app=$1" --tail=-1 | grep -F "$2"; }

# daemonset_has COUNT: so many nodes' pods of it are ready.
daemonset_has() {
  [ "$(kube get daemonset boundary-shim-boundary --namespace kube-system -o jsonpath='{.status.numberReady}')" = "$1" ]
}

# The DaemonSet asked systemd for it, and it answers again.
containerd_was_restarted() { grep -qx 'restart containerd' "$DIR/kube/systemctl.log" && [ ! -e "$DIR/restart" ]; }

# ---- records -----------------------------------------------------------------------------------------------------

records() { in_bed sh -c 'cat /var/log/boundary/*.jsonl'; }
recorded() { records | jq -es --arg name "$1" 'any(.name == $name and .verdict == "deny")'; }
suggested() { records | jq -es --arg rule "$1" 'any(.suggestion == $rule and .verdict != "deny")'; }

# logged WORD NAME: `logs` finds an attempt at this name by the word.
logged() { in_bed /usr/local/bin/boundary-shim logs --json "$1" | jq -es --arg name "$2" 'any(.name == $name)'; }

# silent POD CONTAINER URL: neither reached nor answered.
silent() { ! reaches "$@"; }

recorded_notice() { records | jq -es --arg words "$1" 'any(.notice // "" | contains($words))'; }

restarted() {
  [ "$(kube get pod "$1" -o "jsonpath={.status.containerStatuses[?(@.name==\"$2\")].restartCount}")" -ge "$3" ]
}

other_address() {
  local now
  now=$(kube get pod "$1" -o jsonpath='{.status.podIP}')
  [ -n "$now" ] && [ "$now" != "$2" ]
}

# added POD NAME [CAPABILITY...]: an ephemeral container, asked for as `kubectl debug` does (Debian's is older than they are).
added() {
  kube get pod "$1" -o json | jq --arg name "$2" --arg image "$IMAGE" '.spec.ephemeralContainers += [{name: $name,
    image: $image, imagePullPolicy: "Never", securityContext: {capabilities: {add: $ARGS.positional}}}]' --args "${@:3}" |
    kube replace --raw "/api/v1/namespaces/default/pods/$1/ephemeralcontainers" -f -
}

# tells POD WORDS: in its events.
tells() { soon told "$@"; }
told() {
  kube get events --field-selector "involvedObject.name=$1" -o json | jq -e --arg words "$2" '[.items[].message | select(contains($words))] != []'
}

# overhead_is POD MEMORY: what the API server added to the pod.
overhead_is() { [ "$(kube get pod "$1" -o jsonpath='{.spec.overhead.memory}')" = "$2" ]; }

# takes_at_most POD MEMORY: its gateway's control group, by the program's own account. MEMORY is a count of Mi.
takes_at_most() {
  local bytes
  bytes=$(in_bed boundary-shim status --json | jq --arg pod "$1" 'select(.pod == $pod).memory')
  echo "$bytes bytes"
  [ "$bytes" -le $((${2%Mi} << 20)) ]
}

# The process that holds a pod's namespaces.
pause_of() {
  in_bed ctr --address "$DIR/containerd.sock" --namespace k8s.io containers list --quiet \
    "labels.\"io.kubernetes.pod.name\"==$1,labels.\"io.cri-containerd.kind\"==sandbox" >"$DIR/sandboxes"
  in_bed ctr --address "$DIR/containerd.sock" --namespace k8s.io tasks list |
    awk 'NR == FNR { sandbox[$1]; next } $1 in sandbox { print $2 }' "$DIR/sandboxes" -
}

no_gateway() { [ -z "$(in_bed ls /run/boundary)" ]; }

# Whatever a pod leaves while it runs.
traces() {
  in_bed sh -c 'cat /proc/[0-9]*/comm; cut -d " " -f 2 /proc/mounts; iptables-save -t nat | grep ^:CNI-DN
    find /run/boundary /run/netns -mindepth 1; find /var/lib/cni/networks -name "172.*"' 2>/dev/null | sort
  on_node ip -brief link | cut -d ' ' -f 1 | grep -vx pods0 # the pods' bridge stays
  find /sys/fs/cgroup -type d \( -path "*/$(cat "$DIR/cgroup")*" -o -path '*/k8s.io/*' \)
}

# settled FUNCTION: what it prints when that is the same for a second.
settled() {
  local now before=''
  until now=$("$1") && [ "$now" = "$before" ]; do
    before=$now
    sleep 1
  done
  echo "$now"
}

# Every switch of the kernel that is not a namespace's own; the last pid is no choice of anybody's.
switches() {
  find /proc/sys/{kernel,vm,fs} -type f -perm -u=rw ! -name ns_last_pid -exec grep -sH . {} +
}

# same FUNCTION BEFORE: what the function prints is, or soon will be, what it printed before.
same() { soon equal "$@" || diff <(echo "$2") <("$1"); }
equal() { [ "$("$1")" = "$2" ]; }

exits() {
  local code=0
  "${@:2}" || code=$?
  [ "$code" = "$1" ]
}

check() {
  local what=$1 said
  shift
  CHECKED=$((CHECKED + 1))
  if said=$("$@" 2>&1); then
    echo "ok: $what"
  else
    echo "FAILED: $what: $said"
    FAILED=$((FAILED + 1))
  fi
}

# Waits until a command succeeds; gives what it said last where it doesn't.
soon() {
  local until=$((SECONDS + READY_SECONDS))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || { "$@"; return; }
    sleep 0.3
  done
}

wait_for() {
  local what=$1
  shift
  soon "$@" >/dev/null || die "$what did not come: see $LOGS"
}
