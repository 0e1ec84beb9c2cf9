
# A file in another place belongs to a containerd that need not be in the PATH: whether its service starts tells, then.
is_read() { [ $config != /etc/containerd/config.toml ] || host containerd config dump >/dev/null; }

put_on() {
  # Gateways and containers that run go on with the file that they were started from.
  cmp -s $program /proc/1/root$shim ||
    host sh -c "cat >$shim.new && chmod 755 $shim.new && mv $shim.new $shim" <$program
  said=$(host $shim install containerd --config $config --name @NAME@ --policy @POLICY@ --mode @MODE@)
  echo "$said"
  has_to_restart "$said" || return 0
  if ! is_read; then
    # It runs on with what it read before. An entry that was there before is not to blame.
    case $said in "already installed"*) ;; *) undo ;; esac
    exit 1
  fi
  # Containers keep running. If containerd doesn't start with the entry, it has to without.
  if ! host systemctl restart @UNIT@; then
    undo
    host systemctl start @UNIT@
    exit 1
  fi
}

# Whatever runs: without containerd, nothing of it can be restarted or entered either.
undo() { host $shim uninstall containerd --config $config --name @NAME@ --force || true; }

# What the ConfigMap has, as soon as it is here: the kubelet swaps a link. A mistake keeps all as it was, and
# this pod isn't ready. Every five seconds, what failed is tried again, and gateways are asked that weren't ready
# when it came, or didn't answer. What succeeded isn't written again: another class's pod may have got a later
# version since.
list=/proc/1/root/etc/boundary/policies/.synced
synced='' seen='' heard='' turn=0
sync() {
  new=$(readlink /policies/..data) || return 0
  turn=$(((turn + 1) % 5))
  [ "$new" != "$seen" ] || [ $turn = 0 ] || return 0
  seen=$new
  # Whoever was interrupted may not come again.
  if [ "$new" = "$synced" ] && ! grep -qsx unfinished $list; then
    said=$(reload)
  elif said=$(host $shim policy sync /proc/$self/root/policies 2>&1); then
    synced=$new
    rm -f $mistaken
  else
    touch $mistaken
  fi
  [ -z "$said" ] || [ "$said" = "$heard" ] || echo "$said"
  heard=$said
}

# Where nothing was synced, files are the administrator's, who says when they count.
reload() {
  [ ! -e $list ] || host $shim policy reload 2>&1 | grep -v ': unchanged' || true
}

begin
put_on
sync
end
touch $done
# Nothing is taken off when this ends: that an update, a drain or an eviction ends it can't be told from anything else.
until [ -n "$ended" ]; do sync; rest 1; done
