
# This image's program, as the node sees it: it may have none of its own any more.
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
  # What has just ended needs a moment to be gone.
  for _ in 1 2 3 4 5 6 7 8 9 10; do [ -n "$(host ls -A /run/boundary 2>/dev/null)" ] || break; rest 1; done
  # The program is kept while something needs it: running containers, other policies' links, other entries.
  host sh -c "[ -n \"\$(ls -A /run/boundary 2>/dev/null)\" ] || [ -n \"\$(find $directory -lname boundary-shim)\" ] ||
    grep -rqs $shim /etc/containerd /etc/docker /etc/containers /etc/crio ${config%/*} || rm -f $shim $shim.new"
  # With it goes what was synced.
  [ -e /proc/1/root$shim ] || { mkdir -p /none && ours policy sync /proc/$self/root/none; }
}

until begin && take_off; do end; rest 10; done
end
touch $done
until [ -n "$ended" ]; do rest 1; done
