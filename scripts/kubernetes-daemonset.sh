# shellcheck shell=bash
# What scripts/kubernetes-e2e, which sources this, checks of the DaemonSets that install the runtime on the node: nothing is taken
# away by accident, what was interrupted is finished, and what is to be taken off waits for the pods that need it.

CROWD=30             # pods under traffic
DENIED=198.51.100.20 # an address that no policy names

# ---- the DaemonSet's pod is replaced under traffic -----------------------------------------------------------------

daemonset_under_traffic() {
  local restarts before
  server plain | kube apply -f - >/dev/null
  wait_for "pod plain" ready plain
  count_packets_to_denied
  check "a packet that nobody filters is counted" unfiltered_from_plain
  crowd | kube apply -f - >/dev/null
  check "$CROWD pods of the class become ready" kube rollout status deployment/crowd --timeout=170s
  before=$(crowd_state) restarts=$(containerd_restarts) PACKETS=$(packets_to_denied)
  exec_all_the_time
  check "the DaemonSet's pod is deleted, and another takes its place" replaced kube delete pod --namespace kube-system \
    --selector boundary-shim/node=boundary
  mkdir -p "$DIR/newer"
  cp target/debug/boundary-shim "$DIR/newer/"
  echo newer >>"$DIR/newer/boundary-shim"
  daemonset_image 2 "$DIR/newer/boundary-shim"
  check "an update of the program is rolled out" replaced updated_to 2
  check "the node has the new program" in_bed cmp "$DIR/newer/boundary-shim" /usr/local/bin/boundary-shim
  check "an update whose image can't be had isn't" not_replaced updated_to missing
  check "then another pod of the class can be started" another_pod
  check "and another update gets on" replaced updated_to 2
  stop_exec
  check "meanwhile containerd wasn't restarted" test "$(containerd_restarts)" = "$restarts"
  check "every exec into the pods succeeded" no_exec_failed
  check "no pod was replaced or restarted" test "$(crowd_state)" = "$before"
  check "all their requests were answered as the policy says" crowd_had_no_trouble
  check "no unfiltered packet left" test "$(packets_to_denied)" = "$PACKETS"
  check "what the old program started is restarted and filtered by the new one" restarted_by_newer
}

# Each asks all the time for what is allowed and for what isn't; its log has what went otherwise.
crowd() {
  cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: crowd}
spec:
  replicas: ${1:-$CROWD}
  selector: {matchLabels: {app: crowd}}
  template:
    metadata: {labels: {app: crowd}}
    spec: {runtimeClassName: boundary, automountServiceAccountToken: false, terminationGracePeriodSeconds: 1,
      containers: [{name: web, image: $IMAGE, imagePullPolicy: Never, command: [sh, -c, '
        until [ -e /tmp/end ]; do
          curl -sf -m 20 -o /dev/null http://allowed.test/ || echo "not reached: \$?";
          said=\$(curl -s -m 20 -o /dev/null -w "%{http_code}" http://$DENIED/); [ "\$said" = 403 ] || echo "not refused: \$said";
          sleep 3;
        done']}]}
YAML
}

# Which pods, and how often each was restarted.
crowd_state() {
  kube get pods --selector app=crowd -o json | jq -r '.items[] | "\(.metadata.uid) \(.status.containerStatuses[].restartCount)"' | sort
}

crowd_had_no_trouble() {
  local said
  said=$(kube logs --selector app=crowd --tail=-1 --max-log-requests="$CROWD")
  [ -z "$said" ] || { echo "$said"; return 1; }
}

count_packets_to_denied() { in_bed iptables --table mangle --append POSTROUTING --destination "$DENIED"; }
packets_to_denied() {
  in_bed iptables --table mangle --list POSTROUTING --verbose --exact --numeric |
    awk -v to="$DENIED" '$8 == to || $9 == to { print $1 }'
}
unfiltered_from_plain() {
  local before
  before=$(packets_to_denied)
  reaches plain side "http://$DENIED/" && [ "$(packets_to_denied)" -gt "$before" ]
}

exec_all_the_time() {
  local pods
  pods=$(pods_of crowd)
  rm -f "$DIR/kube/exec.log"
  touch "$DIR/kube/exec.goes-on"
  while [ -e "$DIR/kube/exec.goes-on" ]; do
    local pod
    for pod in $pods; do
      [ -e "$DIR/kube/exec.goes-on" ] || break
      if kube exec "$pod" -- true >>"$DIR/kube/exec.log" 2>&1; then echo ok; else echo "FAILED $pod"; fi >>"$DIR/kube/exec.log"
    done
  done &
  EXECUTOR=$!
}

stop_exec() {
  rm "$DIR/kube/exec.goes-on"
  wait "$EXECUTOR"
}

no_exec_failed() {
  [ "$(grep -cx ok "$DIR/kube/exec.log")" -ge "$CROWD" ] && ! grep -A1 FAILED "$DIR/kube/exec.log"
}

containerd_restarts() { grep -c '^restart containerd$' "$DIR/kube/systemctl.log" || true; }

node_pod() {
  kube get pods --namespace kube-system --selector "boundary-shim/node=boundary${1:-}" -o json |
    jq -r '.items[].metadata | select(.deletionTimestamp == null).name'
}

# updated_to TAG: the objects are those for another image.
updated_to() {
  kube apply -f - < <(manifests "$1") && kube delete pod boundary-sample --now
}

# replaced COMMAND...: with that, another pod of the DaemonSet is there, and ready.
replaced() {
  local before
  before=$(node_pod)
  "$@" && soon another_than "$before" &&
    kube wait --for=condition=Ready "pod/$(node_pod)" --namespace kube-system --timeout=90s
}
another_than() { [ -n "$(node_pod)" ] && [ "$(node_pod)" != "$1" ]; }

# The same, but the new one never becomes ready.
not_replaced() {
  local before
  before=$(node_pod)
  "$@" && soon another_than "$before" && soon waits_for_image
}
waits_for_image() {
  kube get pod "$(node_pod)" --namespace kube-system -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}' |
    grep -E 'ErrImagePull|ImagePullBackOff'
}

another_pod() {
  sleeper another '' | kube apply -f - && ready another && reaches another main http://allowed.test/ &&
    refused another main http://denied.test/ && kube delete pod another --timeout=60s
}

restarted_by_newer() {
  local pod
  pod=$(pods_of crowd | head -n 1)
  kube exec "$pod" -- touch /tmp/end && soon restarted "$pod" web 1 && soon reaches "$pod" web http://allowed.test/ &&
    refused "$pod" web http://denied.test/ && added "$pod" later && soon reaches "$pod" later http://allowed.test/ &&
    refused "$pod" later http://denied.test/
}

# What is taken off waits for every pod of the class, whichever part made it.
no_pods() {
  kube delete deployment crowd --ignore-not-found --cascade=foreground --timeout=90s >/dev/null
  kube delete pods --all --namespace default --timeout=90s >/dev/null
  kube delete namespace nests --ignore-not-found --timeout=90s >/dev/null
  wait_for "the end of all gateways" no_gateway
}

# ---- an installation that was cut short ----------------------------------------------------------------------------

# As if the script had been killed between writing the entry and restarting containerd: the entry is there, containerd doesn't know it.
interrupted_install() {
  local restarts
  no_pods
  in_bed boundary-shim uninstall containerd >/dev/null
  restart_containerd
  in_bed boundary-shim install containerd >/dev/null
  check "a node whose containerd doesn't know the runtime is not ready" soon daemonset_has 0
  check "and says why" soon node_pod_told "it was started before its configuration was last changed"
  restarts=$(containerd_restarts)
  check "another pod of the DaemonSet finishes what was begun" replaced kube delete pod --namespace kube-system \
    --selector boundary-shim/node=boundary
  check "by one restart of containerd" test "$(containerd_restarts)" = "$((restarts + 1))"
  check "and pods of the class start" another_pod
}

node_pod_told() {
  kube get events --namespace kube-system -o json | jq -e --arg words "$1" '[.items[].message | select(contains($words))] != []'
}

# ---- taking off ----------------------------------------------------------------------------------------------------

taken_off() {
  local pod
  no_pods
  crowd 2 | kube apply -f - >/dev/null
  check "two pods of the class become ready" kube rollout status deployment/crowd --timeout=90s
  kube label node node boundary-shim/boundary=uninstall --overwrite >/dev/null
  check "the label moves the node to the DaemonSet that takes off" soon node_is_the_uninstallers
  for pod in $(pods_of crowd); do
    check "which names $pod" soon uninstaller_said "default/$pod"
    check "exec goes on there" kube exec "$pod" -- true
  done
  check "it isn't ready" test "$(uninstallers_ready)" = 0
  kube exec "$pod" -- touch /tmp/end
  check "a container is restarted there" soon restarted "$pod" web 1
  check "and filtered" refused "$pod" web http://denied.test/
  check "new pods of the class wait" waits_for_node
  kube delete deployment crowd --cascade=foreground --timeout=90s >/dev/null
  check "when the pods are gone, it takes off" soon test_uninstallers_ready 1
  check "the program is gone" in_bed test ! -e /usr/local/bin/boundary-shim
  check "and what came with the ConfigMap" in_bed test ! -e /etc/boundary/policies/.synced
  check "and so is the entry" in_bed cmp "$DIR/etc/containerd/config.toml" /etc/containerd/config.toml
  kube label node node boundary-shim/boundary=true --overwrite >/dev/null
  check "with the other label it comes again" soon daemonset_has 1
  check "and pods of the class start again" another_pod
  mkdir -p "$DIR/kubectl"
  printf '#!/bin/sh\nexec %s --kubeconfig %s "$@"\n' "$DIR/kube/kubectl" "$DIR/kube/config" >"$DIR/kubectl/kubectl"
  chmod +x "$DIR/kubectl/kubectl"
  check "what 'uninstall kubernetes' prints takes all of it off" all_taken_off
  check "no object is left" no_object
  check "nor a label" test -z "$(kube get node --selector boundary-shim/boundary -o name)"
  check "nor the program" in_bed test ! -e /usr/local/bin/boundary-shim
}

node_is_the_uninstallers() { [ -z "$(node_pod)" ] && [ -n "$(node_pod -uninstall)" ]; }
uninstaller_said() { kube logs --namespace kube-system "$(node_pod -uninstall)" | grep -F "$1"; }
uninstallers_ready() { kube get daemonset boundary-shim-boundary-uninstall --namespace kube-system -o jsonpath='{.status.numberReady}'; }
test_uninstallers_ready() { [ "$(uninstallers_ready)" = "$1" ]; }
waits_for_node() {
  sleeper waiting '' | kube apply -f - && kube wait --for=condition=PodScheduled=false pod/waiting --timeout=30s &&
    kube delete pod waiting --now
}
all_taken_off() {
  target/debug/boundary-shim uninstall kubernetes | PATH=$DIR/kubectl:$PATH on_node timeout 90 sh
}
no_object() {
  [ -z "$(kube get daemonsets --namespace kube-system -o name)" ] && ! kube get runtimeclass boundary &&
    ! kube get validatingadmissionpolicies,validatingadmissionpolicybindings -o name | grep -q boundary
}
