# Everything is done on the node itself, with nsenter: its files, its containerd, its systemd. Wherever a run is ended, the
# next one finds out what is left to do, and does it.
set -eu
program=/boundary-shim # in this image
done=/done             # in this container: the readiness probe looks for it
mistaken=/mistaken     # and for this
directory=@DIRECTORY@
shim=$directory/boundary-shim
config=@CONFIG@
# The kernel is asked for this shell's pid, since Kubernetes takes two dollar signs in a pod's command for one.
read -r self _ </proc/self/stat
host() { nsenter --target 1 --mount -- "$@" 9>&-; }

# What is being done is finished before this ends. No other script works on the node meanwhile, for this class or another.
ended=
trap 'ended=yes' TERM
# Short, and waited for: a signal that comes between a look at `ended` and a `wait` would interrupt nothing.
rest() { sleep "$1" 9>&-; }
exec 9>/proc/1/root/run/boundary-node.lock
begin() { flock 9 && if [ -n "$ended" ]; then exit 0; fi; }
end() { flock -u 9; }

# Whether containerd has yet to read what is in its files: `install` and `uninstall` say so.
has_to_restart() { case $1 in *"containerd reads its configuration only when it starts"*) ;; *) return 1 ;; esac; }
