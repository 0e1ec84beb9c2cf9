#!/bin/sh
# Takes the class @NAME@ off a cluster: read it, then pass it to sh.
set -eux
# In two steps: a failure of the first ends this.
nodes=$(kubectl get node --selector boundary-shim/@NAME@ --output name)
nodes=$(printf %s "$nodes" | grep -c . || true)
# No new pods of the class are scheduled from here on. Those that run go on.
[ "$nodes" = 0 ] || kubectl label node --selector boundary-shim/@NAME@ boundary-shim/@NAME@=uninstall --overwrite
kubectl delete pod @NAME@-sample --ignore-not-found
# Waits until every node is done, and so until the class's pods are gone. Which still run on which node:
#   kubectl --namespace kube-system logs --prefix --selector boundary-shim/node=@NAME@-uninstall
kubectl --namespace kube-system wait daemonset/boundary-shim-@NAME@-uninstall --timeout=-1s \
  --for=jsonpath='{.status.numberReady}'="$nodes"
# Then the objects go, and the label.
kubectl --namespace kube-system delete daemonset boundary-shim-@NAME@ boundary-shim-@NAME@-uninstall
kubectl delete runtimeclass @NAME@
kubectl delete validatingadmissionpolicybinding,validatingadmissionpolicy boundary-shim-@NAME@ --ignore-not-found
[ "$nodes" = 0 ] || kubectl label node --selector boundary-shim/@NAME@ boundary-shim/@NAME@-
