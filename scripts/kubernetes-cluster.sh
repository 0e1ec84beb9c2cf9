# shellcheck shell=bash
# The cluster of scripts/kubernetes-e2e, which sources this: a bed with containerd (scripts/bed), made a node by
# scripts/kubernetes-node, with a name server and the work of kube-proxy beside it. What runs on such a node is installed by the
# DaemonSet of `install kubernetes`; nothing of this product is there before. DIR is the bed's directory, PROGRAMS holds what
# scripts/kubernetes-programs made.

IMAGE=bed.test/bed:latest NODE_IMAGE=bed.test/boundary-shim
NODE_IP=192.0.2.1 NAME_SERVER=198.51.100.53 # the bed's, see scripts/bed
SERVICES=10.1.2.0/24 API=10.1.2.1 DNS=10.1.2.10

cluster() {
  bed
  stand_in_for_systemctl
  import "$IMAGE" < <(scripts/bed-image "$DIR/ca/ca.pem" curl)
  scripts/kubernetes-node "$DIR" "$SERVICES" "$DNS"
  forward "$API" tcp 443 "$NODE_IP:6443"
  name_server
  in_bed containerd --version
}

bed() {
  cp target/debug/examples/little-internet "$DIR/bin/"
  cp "$PROGRAMS"/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kubectl} "$DIR/kube/"
  cp -RT tests/cri/etc "$DIR/etc"
  cat >"$DIR/etc/boundary/config.toml" <<END
resolvers = ["$DNS"]
pod-nesting = ["nests"]
[annotations]
policies = ["services", "both", "lost"]
modes = ["observe"]
ceiling = "services"
END
  # Another class's, whose pods start without what nothing bounds.
  cat >"$DIR/etc/boundary/dropping/config.toml" <<END
resolvers = ["$DNS"]
pod-capabilities = "drop"
END
  cat >"$DIR/etc/boundary/policies/services.yaml" <<END
allow:
  - domain=allowed.test
  - domain=web.default.svc.cluster.local cidr=$SERVICES
  - cidr=$API/32 port=443
END
  # The same by both kinds of rules, and with one whose name nobody can look up.
  cat >"$DIR/etc/boundary/policies/both.yaml" <<END
allow:
  - domain=web.default.svc.cluster.local cidr=$SERVICES
  - cidr=$SERVICES
  - domain=web
  - domain=web.default
END
  BED_ENGINE=containerd BED_RAM=1g start_bed
}

# Runs a program of this machine in the node's network: the bed's root may be another system's.
on_node() { nsenter --target "$(cat "$DIR/pid")" --net -- "$@"; }

kube() { on_node "$DIR/kube/kubectl" --kubeconfig "$DIR/kube/config" "$@"; }

# namespace NAME: one that takes pods already.
namespace() {
  kube create namespace "$1" >/dev/null
  wait_for "the service account of $1" kube get serviceaccount default --namespace "$1"
}

# import NAME:TAG: a root file system on standard input becomes an image of the node's containerd.
import() {
  scripts/bed-archive "$1" >"$DIR/image.tar"
  in_bed ctr --address "$DIR/containerd.sock" --namespace k8s.io images import "$DIR/image.tar" >/dev/null
}

# ---- the network -------------------------------------------------------------------------------------------------

# It knows the services, asks the little internet for the rest, and reads what is put into its folder at once.
name_server() {
  mkdir "$DIR/kube/services"
  in_bed iptables --table nat --append POSTROUTING --match conntrack --ctstate DNAT --jump MASQUERADE
  # Of this machine, but it ends with the bed.
  nsenter --target "$(cat "$DIR/pid")" --net --pid -- dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
    --no-hosts --no-resolv --server="$NAME_SERVER" --local=/cluster.local/ --hostsdir="$DIR/kube/services" --cache-size=0 \
    --bind-interfaces --listen-address="$NODE_IP" --log-facility=- --log-queries </dev/null >"$DIR/kube/dns.log" 2>&1 &
  forward "$DNS" udp 53 "$NODE_IP:53"
  forward "$DNS" tcp 53 "$NODE_IP:53"
}

# service NAME ADDRESS APP: port 80 of ADDRESS, by name and address, leads to port 8080 of the pod with this label.
service() {
  kube apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {clusterIP: $2, selector: {app: $3}, ports: [{port: 80, targetPort: 8080}]}
YAML
  wait_for "an endpoint of service $1" endpoint "$1"
  forward "$2" tcp 80 "$(endpoint "$1")"
  echo "$2 $1.default.svc.cluster.local" >"$DIR/kube/services/$1"
  wait_for "the name of service $1" knows_service "$1"
}

# The address that the cluster's controllers found for a service.
endpoint() {
  local address
  address=$(kube get endpointslices --selector "kubernetes.io/service-name=$1" \
    --output 'jsonpath={.items[0].endpoints[?(@.conditions.ready==true)].addresses[0]}')
  [ -n "$address" ] && echo "$address:8080"
}

knows_service() { on_node busybox nslookup -type=a "$1.default.svc.cluster.local" "$NODE_IP"; }

# forward ADDRESS PROTOCOL PORT TARGET: kube-proxy's work, in its own way. Masqueraded, because pods of one bridge would
# answer each other past these rules.
forward() {
  local chain
  for chain in PREROUTING OUTPUT; do
    in_bed iptables --table nat --append "$chain" --destination "$1" --protocol "$2" --dport "$3" --jump DNAT --to-destination "$4"
  done
}

# ---- the product on the node -------------------------------------------------------------------------------------

# daemonset_image TAG [PROGRAM]: what the manifests' Containerfile makes, from this machine's files: a system with nsenter and flock, and the
# program in its root.
daemonset_image() {
  scripts/bed-image "$DIR/ca/ca.pem" nsenter flock >"$DIR/root.tar"
  tar --append --file "$DIR/root.tar" --transform 's,.*/,./,' "${2:-target/debug/boundary-shim}"
  import "$NODE_IMAGE:$1" <"$DIR/root.tar"
  rm "$DIR/root.tar"
}

# manifests TAG: what `install kubernetes` prints, for an image that daemonset_image made.
manifests() { target/debug/boundary-shim install kubernetes --image "$NODE_IMAGE:$1"; }

# What the DaemonSet asks of systemd on the node, of which there is none: pid 1 of the bed starts containerd anew. So it runs in
# the node's namespaces, whoever asked. Each restart is a line in DIR/kube/systemctl.log.
stand_in_for_systemctl() {
  cat >"$DIR/systemctl" <<SH
#!/bin/sh
echo "\$*" >>"$DIR/kube/systemctl.log"
case "\$1 \$2" in
  "restart containerd")
    touch "$DIR/restart"
    kill "\$(cat /run/containerd.pid)"
    while [ -e "$DIR/restart" ]; do sleep 0.1; done ;;
  "start containerd") ;; # it runs
  *) echo "systemctl: not known here: \$*" >&2; exit 1 ;;
esac
SH
  in_bed install --mode 755 "$DIR/systemctl" /usr/bin/systemctl
}

restart_containerd() { in_bed systemctl restart containerd; }
