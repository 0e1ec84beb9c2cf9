# Everything is done on the node itself, with nsenter: its files, its containerd, its systemd.
set -eu
directory=@DIRECTORY@
shim=$directory/boundary-shim
config=@CONFIG@
host() { nsenter --target 1 --mount -- "$@"; }

# A file in another place belongs to a containerd that need not be in the PATH: whether its service starts tells, then.
is_read() { [ $config != /etc/containerd/config.toml ] || host containerd config dump >/dev/null; }

put_on() {
  host sh -c "cat >$shim.new && chmod 755 $shim.new && mv $shim.new $shim" </boundary-shim
  said=$(host $shim install containerd --config $config --name @NAME@ --policy @POLICY@)
  echo "$said"
  case $said in "already installed"*) return ;; esac
  # Containers keep running. If containerd would not start again, it gets its old configuration back.
  if ! { is_read && host systemctl restart @UNIT@; }; then
    host $shim uninstall containerd --config $config --name @NAME@
    host systemctl start @UNIT@
    exit 1
  fi
}

take_off() {
  said=$(host $shim uninstall containerd --config $config --name @NAME@)
  echo "$said"
  case $said in "not installed"*) ;; *) host systemctl restart @UNIT@ ;; esac
  # The program is kept while something needs it: running containers, other policies' links, other entries.
  host sh -c "[ -n \"\$(ls -A /run/boundary 2>/dev/null)\" ] || [ -n \"\$(find $directory -lname boundary-shim)\" ] ||
    grep -rqs $shim /etc/containerd /etc/docker ${config%/*} || rm -f $shim"
}

trap 'take_off; exit 0' TERM
put_on
while :; do
  sleep 3600 &
  wait $!
done
