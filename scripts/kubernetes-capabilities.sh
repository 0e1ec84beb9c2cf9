# shellcheck shell=bash
# Parts of scripts/kubernetes-e2e, which sources this: pods and debuggers that ask for capabilities which nothing bounds in a pod
# but its own user namespace, in a class that refuses them and in one that starts them without.

# What coder/boundary's documents have pods ask for: NET_ADMIN, the same without a seccomp filter, and with SYS_ADMIN.
# documented CLASS [SPEC]: one pod of each, CLASS-net, CLASS-unconfined, CLASS-sys.
documented() {
  asking "$1-net" "$1" "${2:-}" 'capabilities: {add: [NET_ADMIN]}'
  asking "$1-unconfined" "$1" "${2:-}" 'capabilities: {add: [NET_ADMIN]}, seccompProfile: {type: Unconfined}'
  asking "$1-sys" "$1" "${2:-}" 'capabilities: {add: [NET_ADMIN, SYS_ADMIN]}'
}

# asking NAME CLASS SPEC SECURITY-CONTEXT
asking() { sleeper "$1" '' "$3" "securityContext: {$4}" | sed "s/runtimeClassName: boundary/runtimeClassName: $2/"; }

# class NAME: a runtime class whose handler is called the same.
class() {
  kube apply -f - >/dev/null <<YAML
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: $1}
handler: $1
YAML
}

capabilities() {
  local form
  class runc
  class dropping
  { documented runc && documented boundary && documented dropping; } | kube apply -f - >/dev/null
  for form in net unconfined sys; do
    check "runc-$form becomes ready" ready "runc-$form"
    check "runc-$form: it can change its network" changes_network "runc-$form"
    check "boundary-$form: refused, in a pod's words" tells "boundary-$form" "hostUsers: false in the pod"
    check "boundary-$form: and in the node's" tells "boundary-$form" 'pod-capabilities = "drop"'
    is_filtered_without "dropping-$form" main
  done
  check "the record says what a container lacks" recorded_notice "main runs without CAP_NET_ADMIN, CAP_SYS_ADMIN,"
  has_own_users || return 0
  documented boundary 'hostUsers: false,' | sed 's/name: boundary-/name: users-/' | kube apply -f - >/dev/null
  for form in net unconfined sys; do
    check "users-$form, with hostUsers: false, becomes ready" ready "users-$form"
    check "users-$form: it can change its network" changes_network "users-$form"
    check "users-$form: an allowed name is reached" reaches "users-$form" main http://allowed.test/
    check "users-$form: a denied name is refused" refused "users-$form" main http://denied.test/
  done
}

# is_filtered_without POD CONTAINER: it runs, and has no rights over its network.
is_filtered_without() {
  check "$1, $2: it starts" soon kube exec "$1" -c "$2" -- true
  check "$1, $2: it can't change its network" exits 2 kube exec "$1" -c "$2" -- ip address add 172.29.99.98/16 dev eth0
  check "$1, $2: an allowed name is reached" reaches "$1" "$2" http://allowed.test/
  check "$1, $2: a denied name is refused" refused "$1" "$2" http://denied.test/
}

changes_network() { kube exec "$1" -c "${2:-main}" -- ip address add 172.29.99.98/16 dev eth0; }

# What each profile of `kubectl debug` comes to.
debugging() {
  local profile
  kube debug --help | grep -q -- --profile || { echo "not checked: this kubectl knows no profiles of debug"; return 0; }
  { asking debugged boundary '' '' && asking debugged-dropping dropping '' ''; } | kube apply -f - >/dev/null
  check "a pod to be debugged becomes ready" ready debugged
  check "another becomes ready" ready debugged-dropping
  for profile in legacy baseline; do
    check "debug, $profile" debug debugged "$profile"
    check "debug, $profile: it starts" soon kube exec debugged -c "$profile" -- true
    check "debug, $profile: a denied name is refused" refused debugged "$profile" http://denied.test/
  done
  for profile in general netadmin; do
    check "debug, $profile" debug debugged "$profile"
    check "debug, $profile, where it is dropped" debug debugged-dropping "$profile"
    is_filtered_without debugged-dropping "$profile"
  done
  check "debug, general: refused" tells debugged "CAP_SYS_PTRACE reaches beyond"
  check "debug, netadmin: refused" tells debugged "CAP_NET_ADMIN reaches beyond"
  check "the record says what general lacks" recorded_notice "container general runs without CAP_SYS_PTRACE,"
  check "debug, sysadmin, where it is dropped" debug debugged-dropping sysadmin
  check "debug, sysadmin, where it is dropped: refused" tells debugged-dropping "single capabilities instead of privileged: true"
  check "what is debugged is filtered as before" refused debugged-dropping main http://denied.test/
  has_own_users || return 0
  asking debugged-users boundary 'hostUsers: false,' '' | kube apply -f - >/dev/null
  check "with hostUsers: false, another becomes ready" ready debugged-users
  for profile in general netadmin; do
    check "debug, $profile, with hostUsers: false" debug debugged-users "$profile"
    check "debug, $profile, with hostUsers: false: it starts" soon kube exec debugged-users -c "$profile" -- true
    check "debug, $profile, with hostUsers: false: a denied name is refused" refused debugged-users "$profile" http://denied.test/
  done
  check "debug, netadmin, with hostUsers: false: it can change its network" changes_network debugged-users netadmin
}

# debug POD PROFILE: adds a container of the profile's name.
debug() {
  kube debug "$1" "--profile=$2" "--image=$IMAGE" --image-pull-policy=Never "--container=$2" -- sleep 3600
}
