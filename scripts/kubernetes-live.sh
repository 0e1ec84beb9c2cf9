# shellcheck shell=bash
# What scripts/kubernetes-e2e, which sources this, checks of policies that a ConfigMap brings to the node: pods that run get what
# changes in it, a mistake changes nothing, and a namespace's pods choose only what it has a label for.

live_policies() {
  local restarts
  sleeper live '' | kube apply -f - >/dev/null
  check "a pod becomes ready" ready live
  check "a denied name is refused" refused live main http://denied.test/
  restarts=$(containerd_restarts)
  policy_map 'domain=allowed.test' 'domain=denied.test'
  check "a policy that comes with a ConfigMap is on the node" soon arrived denied.test
  check "and counts in the pod that runs, within 10 s" within 10 reaches live main http://denied.test/
  policy_map 'domain=allowed.test'
  check "the next version is, too" soon departed denied.test
  check "what it doesn't allow any more is refused, within 10 s" within 10 refused live main http://denied.test/
  check "all else is reached" reaches live main http://allowed.test/
  policy_map 'domian=allowed.test' 'domain=denied.test'
  check "a mistake in it is named in the DaemonSet's log" soon node_pod_said "domian"
  check "the node isn't ready" soon daemonset_has 0
  check "the pod keeps what it had" refused live main http://denied.test/
  check "and reaches that" reaches live main http://allowed.test/
  policy_map 'domain=allowed.test' 'domain=*.wild.test' 'domain=*.rebind.test'
  check "mended, it is ready again" soon daemonset_has 1
  printf 'deny:\n  - domain=allowed.test\n' >"$DIR/kube/ceiling.d.corp.yaml"
  policy_map 'domain=allowed.test' 'domain=*.wild.test' 'domain=*.rebind.test'
  check "a key that is new is on the node" soon ceiling_arrived
  check "the ceiling that came with it bounds the pod that runs, within 10 s" within 10 refused live main http://allowed.test/
  rm "$DIR/kube/ceiling.d.corp.yaml"
  policy_map 'domain=allowed.test' 'domain=*.wild.test' 'domain=*.rebind.test'
  check "without it, all is as before" soon reaches live main http://allowed.test/
  check "nothing was restarted" test "$(kube get pod live -o jsonpath='{.status.containerStatuses[0].restartCount}') $(containerd_restarts)" = "0 $restarts"
  namespace chooses
  check "a namespace without the label may not choose a policy" not_admitted "policy.boundary-shim/services" chooser 'boundary.policy: services'
  check "nor the mode" not_admitted "mode.boundary-shim/observe" chooser 'boundary.mode: observe'
  kube label namespace chooses policy.boundary-shim/services=allowed >/dev/null
  sleeper chooser 'boundary.policy: services' | kube apply --namespace chooses -f - >/dev/null
  check "with it, it may" ready chooser --namespace chooses
  check "which counts" answers_in chooses chooser "https://$API/version"
  kube label namespace chooses policy.boundary-shim/services- >/dev/null
  check "when the label is gone, what runs may be changed" kube label pod chooser --namespace chooses changed=yes
  check "but not choose anew" not_annotated "policy.boundary-shim/both" chooser boundary.policy=both
  check "a class that observes is taken" kube apply -f - < <(target/debug/boundary-shim install kubernetes --name watch --mode observe)
  check "a class that observes is not for every namespace" soon not_watched "mode.boundary-shim/observe"
  kube label namespace chooses mode.boundary-shim/observe=allowed >/dev/null
  check "but for those that may" watched
  target/debug/boundary-shim install kubernetes --name watch --mode observe | kube delete --ignore-not-found -f - >/dev/null
  check "another policy isn't that" not_admitted "policy.boundary-shim/both" another 'boundary.policy: both'
  kube delete namespace chooses --timeout=90s >/dev/null
  kube delete pod live --now >/dev/null
}

# policy_map RULE...: the default policy of all nodes, with the ceiling where there is one. The kubelet looks at once when something of its pod is changed.
policy_map() {
  local ceiling=()
  [ ! -e "$DIR/kube/ceiling.d.corp.yaml" ] || ceiling=("$DIR/kube/ceiling.d.corp.yaml")
  printf 'allow:\n' >"$DIR/kube/default.yaml"
  printf '  - %s\n' "$@" >>"$DIR/kube/default.yaml"
  kube create configmap boundary-shim --namespace kube-system --from-file="$DIR/kube/default.yaml" "${ceiling[@]/#/--from-file=}" --dry-run=client -o yaml | kube apply -f - >/dev/null
  kube annotate pod "$(node_pod)" --namespace kube-system --overwrite touched="$(date +%s%N)" >/dev/null
}

# in_map_volume TEST: of what the kubelet made of the ConfigMap. The argument is a command of a shell, for a file.
in_map_volume() {
  in_bed sh -c "for file in $DIR/kube/node/pods/*/volumes/kubernetes.io~configmap/policies/default.yaml; do $1 \"\$file\" || exit 1; done"
}
arrived() { in_map_volume "grep -q $1"; }
# shellcheck disable=SC2016 # for the node's shell
ceiling_arrived() { in_map_volume 'beside() { test -e "${1%/*}/ceiling.d.corp.yaml"; }; beside'; }
departed() { in_map_volume "! grep -q $1"; }

# within SECONDS COMMAND...
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || { "$@"; return 1; }
    sleep 0.2
  done
}

node_pod_said() { kube logs --namespace kube-system "$(node_pod)" | grep -F "$1"; }

# not_admitted WORDS POD ANNOTATION
not_admitted() {
  local said
  if said=$(sleeper "$2" "$3" | kube apply --namespace chooses -f - 2>&1); then echo "$said"; return 1; fi
  grep -F "$1" <<<"$said" || { echo "$said"; return 1; }
}

# not_annotated WORDS POD ANNOTATION
not_annotated() {
  local said
  if said=$(kube annotate pod "$2" --namespace chooses --overwrite "$3" 2>&1); then echo "$said"; return 1; fi
  grep -F "$1" <<<"$said" || { echo "$said"; return 1; }
}

# As the API server sees it: nothing is started.
watched() { sleeper watched '' | sed 's/runtimeClassName: boundary/runtimeClassName: watch/' | kube apply --namespace chooses --dry-run=server -f - 2>&1; }
not_watched() {
  local said
  if said=$(watched); then echo "$said"; return 1; fi
  grep -F "$1" <<<"$said" || { echo "$said"; return 1; }
}

answers_in() { kube exec "$2" --namespace "$1" -c main -- curl -sSk -m 20 -o /dev/null "$3"; }
