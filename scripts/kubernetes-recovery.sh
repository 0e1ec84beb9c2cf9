# shellcheck shell=bash
# Part of scripts/kubernetes-e2e, which sources this: gateways are killed, and each pod comes back filtered.

# Who is asked all the time, and whom no policy names: whatever reaches it is unfiltered.
FORBIDDEN=198.51.100.20
BACK_SECONDS=30
KILLS=20

# Of pods with probes and without, once each, since a kubelet lets a container wait longer each time: of one the filter, of the next
# its keeper, of the next both.
recovery() {
  local pod pods=() number
  for ((number = 0; number < KILLS; number += 2)); do pods+=("probed-$number" "bare-$number"); done
  for pod in plain guarded once "${pods[@]}"; do
    case $pod in
      plain) server plain ;;
      probed-* | guarded) server "$pod" 'runtimeClassName: boundary,' ;;
      bare-*) asker "$pod" Always ;;
      once) asker once Never ;;
    esac
  done | kube apply -f - >/dev/null
  for pod in plain guarded once "${pods[@]}"; do check "$pod becomes ready" ready "$pod"; done
  watch_for_forbidden
  for ((number = 0; number < KILLS; number++)); do
    kill_of "${pods[number]}" "$number"
    check "${pods[number]} comes back within $BACK_SECONDS s" comes_back "${pods[number]}"
  done
  echo "the $KILLS took $(sort -n "$DIR/kube/recovery.log" | tr '\n' ' ')s"
  check "events say that a pod got another sandbox" tells bare-0 "Pod sandbox changed"
  check "the record says what happened" recorded_end "the filter is gone: it was killed by SIGKILL"
  kill_of once 0
  check "a pod that isn't to be restarted has failed" soon has_phase once Failed
  guard_is_killed_too
  check "nothing has left a pod unfiltered" nothing_forbidden
  check "what would have been seen, a pod without the class shows" reaches plain side "http://$FORBIDDEN/"
  check "which is seen" soon something_forbidden
  kill "$CAPTURE"
  check "all can be deleted" kube delete pods plain guarded once "${pods[@]}" --timeout=90s
  check "and leave no gateway" soon no_gateway
}

# Then the next container that starts in the pod has its sandbox made anew.
guard_is_killed_too() {
  local before keeper
  before=$(pause_of guarded)
  keeper=$(keeper_of guarded)
  in_bed sh -c "kill -KILL \$(cat /proc/$keeper/task/$keeper/children) $keeper"
  check "without its guard, a pod stays as it is, shut" fails_to_reach guarded side http://allowed.test/
  check "and has the sandbox that it had" test "$(pause_of guarded)" = "$before"
  kube exec guarded -c web -- touch /srv/dead
  BEFORE[guarded]=$before KILLED[guarded]=$SECONDS
  check "until a container of it is started again" comes_back guarded
}

# asker NAME RESTART_POLICY: a server without probes, which asks for what is denied, by name and address, for as long as it lives.
asker() {
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec: {automountServiceAccountToken: false, terminationGracePeriodSeconds: 1, runtimeClassName: boundary, restartPolicy: $2,
  containers: [
    {name: web, image: $IMAGE, imagePullPolicy: Never,
     command: [sh, -c, "touch /srv/ready; exec httpd -f -p 8080 -h /srv"]},
    {name: side, image: $IMAGE, imagePullPolicy: Never,
     command: [sh, -c, "while :; do curl -s -m 1 http://$FORBIDDEN/; curl -s -m 1 http://denied.test/; sleep 0.05; done >/dev/null"]}]}
YAML
}

# ---- how it is seen ----------------------------------------------------------------------------------------------

# The moment, and the sandbox, in which a pod's gateway was killed.
declare -A KILLED=() BEFORE=()

# kill_of POD NUMBER
kill_of() {
  local keeper victims
  BEFORE[$1]=$(pause_of "$1")
  keeper=$(keeper_of "$1")
  case $(($2 % 3)) in
    0) victims="\$(cut -d ' ' -f 1 /proc/$keeper/task/$keeper/children)" ;;
    1) victims=$keeper ;;
    2) victims="\$(cut -d ' ' -f 1 /proc/$keeper/task/$keeper/children) $keeper" ;;
  esac
  KILLED[$1]=$SECONDS
  in_bed sh -c "kill -KILL $victims"
}

# The pid of the keeper of a pod's gateway, by its pause container.
keeper_of() {
  in_bed sh -c 'cat /run/boundary/*/record.json' |
    jq --argjson pause "$(pause_of "$1")" 'select(.init.pid == $pause and .proxy != null) | .proxy.pid'
}

comes_back() {
  until is_back "$1" >/dev/null 2>&1; do
    [ $((SECONDS - KILLED[$1])) -lt "$BACK_SECONDS" ] || { is_back "$1"; return; }
    sleep 0.3
  done
  echo $((SECONDS - KILLED[$1])) >>"$DIR/kube/recovery.log"
}

# In another sandbox, ready, serving, and filtered.
is_back() {
  local pause
  pause=$(pause_of "$1")
  if [ -z "$pause" ] || [ "$pause" = "${BEFORE[$1]}" ]; then
    echo "it has no other sandbox"
    return 1
  fi
  kube wait --for=condition=Ready "pod/$1" --timeout=1s &&
    on_node curl -sSf -m 2 -o /dev/null "http://$(kube get pod "$1" -o jsonpath='{.status.podIP}'):8080/ready" &&
    reaches "$1" web http://allowed.test/ && refused "$1" web http://denied.test/
}

fails_to_reach() { ! reaches "$@"; }

has_phase() { [ "$(kube get pod "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }

recorded_end() { records | jq -es --arg words "$1" 'any(.event == "stop" and (.reason | contains($words)))'; }

# On whatever leads out of pods: the kernel's own names are used where a packet crosses.
watch_for_forbidden() {
  nsenter --target "$(cat "$DIR/pid")" --net -- tcpdump -i any -n -U -w "$DIR/forbidden.pcap" host "$FORBIDDEN" \
    >"$DIR/kube/tcpdump.log" 2>&1 &
  CAPTURE=$!
  wait_for "tcpdump" grep -q listening "$DIR/kube/tcpdump.log"
}

forbidden() { tcpdump -n -r "$DIR/forbidden.pcap" 2>/dev/null; }
something_forbidden() { forbidden | grep -q .; }
nothing_forbidden() { ! forbidden | grep .; }
