
# This image's program, as the node sees it: it may have none of its own any more. The kernel is asked for this shell's
# pid, since Kubernetes takes two dollar signs in a pod's command for one.
read -r self _ </proc/self/stat
ours() { host "/proc/$self/root$program" "$@"; }

heard=
take_off() {
  # Refused while containerd's containers run under this program, of this class or another: it names them.
  if ! said=$(ours uninstall containerd --config $config --name @NAME@ 2>&1); then
    [ "$said" = "$heard" ] || echo "$said"
    heard=$said
    return 1
  fi
  echo "$said"
  ! has_to_restart "$said" || host systemctl restart @UNIT@ || return
  # The program is kept while something needs it: running containers, other policies' links, other entries.
  host sh -c "[ -n \"\$(ls -A /run/boundary 2>/dev/null)\" ] || [ -n \"\$(find $directory -lname boundary-shim)\" ] ||
    grep -rqs $shim /etc/containerd /etc/docker /etc/containers /etc/crio ${config%/*} || rm -f $shim $shim.new"
}

until begin && take_off; do end; rest 10; done
end
touch $done
until [ -n "$ended" ]; do rest 1; done
