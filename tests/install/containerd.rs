//! `install containerd` against what real containerds make of their files, and what the DaemonSet does on a node.
//!
//! No daemon is started: `containerd config dump` reads the files as the daemon would. Two containerds are asked: the
//! system's (1.6 on Debian 12), and the newer one (2.1) that `scripts/newer-docker` made.

use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use boundary_shim::integrate::containerd::{self, Places};
use boundary_shim::integrate::kubernetes;
use boundary_shim::integrate::step;
use toml::{Table, Value};

use crate::{Installation, text};

const DEBIAN: &str = "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
                      [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n      \
                      conf_dir = \"/etc/cni/net.d\"\n  [plugins.\"io.containerd.internal.v1.opt\"]\n    \
                      path = \"/var/lib/containerd/opt\"\n";

/// A containerd that can be asked.
struct Containerd {
    program: PathBuf,
    major: u32,
}

pub(crate) fn can_run() -> bool {
    let works = |program: &str| Command::new(program).arg("--version").output().is_ok();
    nix::unistd::geteuid().is_root() && works("containerd") && works("nsenter")
}

pub(crate) fn can_run_newer() -> bool {
    nix::unistd::geteuid().is_root() && newer().join("usr/bin/containerd").exists()
}

/// Where the newer one is: a system of its own.
fn newer() -> PathBuf {
    std::env::var_os("BOUNDARY_NEWER_DOCKER").map_or_else(|| "/var/lib/boundary-testbed/sid".into(), PathBuf::from)
}

impl Containerd {
    fn older() -> Self {
        Self { program: "containerd".into(), major: 1 }
    }

    /// Not by chroot: it has to see our files.
    fn newer(here: &Installation) -> Self {
        let (program, root) = (here.directory.path().join("containerd-2"), newer());
        let script = format!(
            "#!/bin/sh\nr={}\nexec $r/lib64/ld-linux-x86-64.so.2 --library-path \
             $r/lib/x86_64-linux-gnu:$r/usr/lib/x86_64-linux-gnu $r/usr/bin/containerd \"$@\"\n",
            root.display()
        );
        put(&program, &script);
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");
        Self { program, major: 2 }
    }

    /// The configuration as this containerd understands it.
    fn dump(&self, config: &Path) -> Table {
        let output = Command::new(&self.program).arg("--config").arg(config).args(["config", "dump"]).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).parse().expect("TOML")
    }

    fn places(&self, here: &Installation) -> Places {
        Places {
            binary: here.binary.clone(),
            config: config(here),
            containerd: self.program.clone(),
            policies: here.directory.path().join("policies"),
            running: here.directory.path().join("running"),
        }
    }

    fn install(&self, here: &Installation, name: &str, policy: &str) {
        let (name, policy) = (name.parse().expect("a name"), policy.parse().expect("a name"));
        let plan = containerd::install(&self.places(here), &name, &policy).expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
        let again = containerd::install(&self.places(here), &name, &policy).expect("planned");
        assert_eq!(again.steps, [], "installed already");
    }

    fn uninstall(&self, here: &Installation, name: &str) {
        let plan = containerd::uninstall(&self.places(here), &name.parse().expect("a name")).expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
    }
}

fn config(here: &Installation) -> PathBuf {
    here.directory.path().join("etc/config.toml")
}

/// The CRI plugin's runtimes, by name.
fn runtimes(dump: &mut Table) -> &mut Table {
    let plugins = dump["plugins"].as_table_mut().expect("plugins");
    let cri = ["io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"];
    let cri = cri.into_iter().find(|cri| plugins.get(*cri).is_some_and(|cri| cri.get("containerd").is_some()));
    plugins[cri.expect("a CRI plugin")]["containerd"]["runtimes"].as_table_mut().expect("runtimes")
}

/// All but ours is as before. An entry that was a default may lose what is as good as absent.
fn assert_others_untouched(before: &mut Table, after: &mut Table, ours: &[&str], what: &str) {
    for name in ours {
        runtimes(after).remove(*name).expect("ours");
    }
    for runtime in runtimes(before).iter_mut().chain(runtimes(after)).map(|(_, runtime)| runtime) {
        drop_defaults(runtime);
    }
    before.remove("imports");
    after.remove("imports");
    assert_eq!(before, after, "{what}");
}

fn drop_defaults(value: &mut Value) {
    let Value::Table(table) = value else { return };
    table.iter_mut().for_each(|(_, value)| drop_defaults(value));
    table.retain(|_, value| match value {
        Value::String(text) => !text.is_empty() && text != "podsandbox",
        Value::Boolean(set) => *set,
        Value::Integer(number) => *number != 0,
        Value::Array(list) => !list.is_empty(),
        Value::Table(table) => !table.is_empty(),
        _ => true,
    });
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    boundary_shim::sys::file::replace(path, text.as_bytes(), 0o640).expect("written");
}

fn tree(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let content = std::fs::read_to_string(&path).expect("text");
            found.push((path, content));
        }
    }
    found.sort();
    found
}

/// A configuration as containerd's users have it: its files, and the versions that read it.
struct Case {
    what: &'static str,
    files: Vec<(&'static str, String)>,
    majors: RangeInclusive<u32>,
}

fn cases(here: &Installation) -> Vec<Case> {
    let plugin = |version: u32| match version {
        2 => "io.containerd.grpc.v1.cri",
        _ => "io.containerd.cri.v1.runtime",
    };
    let kubeadm = |version| {
        let runc = format!("plugins.\"{}\".containerd.runtimes.runc", plugin(version));
        format!(
            "version = {version}\n[{runc}]\nruntime_type = 'io.containerd.runc.v2' # as ever\n  [{runc}.options]\n    \
             # the kubelet's driver\n    SystemdCgroup = true\n    NoPivotRoot = true\n"
        )
    };
    let other = |version| {
        format!("[plugins.'{}'.containerd.runtimes.other]\nruntime_type = 'io.containerd.kata.v2'\n", plugin(version))
    };
    let imports = format!("imports = ['{}']\n", here.directory.path().join("etc/conf.d/*.toml").display());
    let alone = |what, text: String, majors| Case { what, files: vec![("config.toml", text)], majors };
    let with = |what, text: String, import: String, majors| Case {
        what,
        files: vec![("config.toml", imports.clone() + &text), ("conf.d/a.toml", import)],
        majors,
    };
    vec![
        alone("Debian's", DEBIAN.to_owned(), 1..=2),
        alone("a kubeadm node's", kubeadm(2), 1..=2),
        with("with imports", DEBIAN.to_owned(), "oom_score = 1\n".to_owned(), 1..=2),
        with("with an import that speaks of runtimes", kubeadm(2), other(2), 1..=2),
        alone("version 3", kubeadm(3), 2..=2),
        alone("version 3 and nothing else", "version = 3\n".to_owned(), 2..=2),
        with("version 3 with drop-ins", kubeadm(3), other(3), 2..=2),
    ]
}

pub(crate) fn older_offers() {
    let here = Installation::new();
    offers(&Containerd::older(), &here);
}

pub(crate) fn newer_offers() {
    let here = Installation::new();
    offers(&Containerd::newer(&here), &here);
}

fn offers(containerd: &Containerd, here: &Installation) {
    for case in cases(here).into_iter().filter(|case| case.majors.contains(&containerd.major)) {
        let etc = here.directory.path().join("etc");
        let _ = std::fs::remove_dir_all(&etc);
        case.files.iter().for_each(|(name, text)| put(&etc.join(name), text));
        check(containerd, here, case.what);
    }
}

fn check(containerd: &Containerd, here: &Installation, what: &str) {
    let etc = here.directory.path().join("etc");
    let (files, mut before) = (tree(&etc), containerd.dump(&config(here)));
    containerd.install(here, "boundary", "default");
    containerd.install(here, "npm-only", "npm");

    let mut after = containerd.dump(&config(here));
    let systemd_cgroup = |runtime: &Value| runtime.get("options")?.get("SystemdCgroup")?.as_bool();
    let runc = runtimes(&mut after).get("runc").and_then(systemd_cgroup).unwrap_or_default();
    for (name, program) in [("boundary", "boundary-shim"), ("npm-only", "boundary-npm")] {
        let runtime = &runtimes(&mut after)[name];
        assert_eq!(runtime["runtime_type"].as_str(), Some("io.containerd.runc.v2"), "{what}");
        assert_eq!(runtime["options"]["BinaryName"].as_str(), here.directory.path().join(program).to_str(), "{what}");
        assert_eq!(systemd_cgroup(runtime).unwrap_or_default(), runc, "{what}");
        for key in ["pod_annotations", "container_annotations"] {
            assert_eq!(runtime[key].as_array().expect("a list"), &[Value::from("boundary.*")]);
        }
    }
    assert_others_untouched(&mut before, &mut after, &["boundary", "npm-only"], what);

    containerd.uninstall(here, "npm-only");
    containerd.uninstall(here, "boundary");
    assert_eq!(tree(&etc), files, "{what}: as before, byte by byte");
    assert!(!here.directory.path().join("boundary-npm").is_symlink());
}

/// The defaults hold when the file that we make is the only one.
pub(crate) fn new_file() {
    let here = Installation::new();
    let newer = can_run_newer().then(|| Containerd::newer(&here));
    for containerd in [Some(Containerd::older()), newer].into_iter().flatten() {
        let empty = here.directory.path().join("empty.toml");
        put(&empty, if containerd.major == 1 { "version = 2\n" } else { "version = 3\n" });
        let mut before = containerd.dump(&empty);
        let _ = std::fs::remove_dir_all(here.directory.path().join("etc"));

        containerd.install(&here, "boundary", "default");
        let mut after = containerd.dump(&config(&here));
        assert_eq!(runtimes(&mut after)["boundary"]["options"]["BinaryName"].as_str(), here.binary.to_str());
        assert_others_untouched(&mut before, &mut after, &["boundary"], "a new file");
        containerd.uninstall(&here, "boundary");
        assert_eq!(tree(&here.directory.path().join("etc")), []);
    }
}

/// In a mount namespace of its own, since the command makes `/etc/boundary`.
pub(crate) fn command_for_real() {
    const PRIVATE_ETC: &str = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
        rm -rf /etc/boundary; cp \"$1\" /mnt/before
        $0 install containerd --dry-run --config \"$1\" >/mnt/dry; cmp /mnt/before \"$1\"; [ ! -e /etc/boundary ]
        for verb in install install uninstall uninstall; do $0 $verb containerd --config \"$1\"; done
        cmp /mnt/before \"$1\"; stat -c %a \"$1\"; head -n 1 /mnt/dry";
    let here = Installation::new();
    put(&config(&here), &DEBIAN.replace("version = 2\n", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n"));
    let output = in_namespaces(&["--mount", "sh", "-c", PRIVATE_ETC], &here.binary, &config(&here));
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (config, binary) = (config(&here), here.binary.display());
    let config = config.display();
    let restart = "note: containerd reads its files only when it starts: systemctl restart containerd\n";
    let policy = "note: no policy yet, so everything is denied. To begin one: \
                  printf 'allow:\\n  - domain=example.com\\n' | sudo tee /etc/boundary/policies/default.yaml\n";
    let expected = format!(
        "make /etc/boundary\nmake /etc/boundary/policies\nwrite {config}\n  runtime boundary: {binary}, else as runc is\n\
         {restart}{policy}already installed\n{policy}\
         write {config}\n  no runtime boundary (was {binary})\n{restart}not installed\n640\nthis would be done:\n"
    );
    assert_eq!(text(&output.stdout), expected);
}

fn in_namespaces(words: &[&str], one: &Path, other: &Path) -> Output {
    Command::new("unshare").args(words).arg(one).arg(other).output().expect("unshare runs")
}

pub(crate) fn malformed() {
    let here = Installation::new();
    put(&config(&here), "version = 2\n[plugins\n");
    for verb in ["install", "uninstall"] {
        let output = Command::new(&here.binary).args([verb, "containerd", "--config"]).arg(config(&here)).output();
        let output = output.expect("it runs");
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
        let said = text(&output.stderr);
        let begins = format!("boundary-shim: {} is left alone: line 2: ", config(&here).display());
        assert!(said.starts_with(&begins) && said.lines().count() == 1, "{said}");
    }
    assert_eq!(std::fs::read_to_string(config(&here)).expect("a file"), "version = 2\n[plugins\n");
}

/// The DaemonSet's own script, with the namespaces of a node: process 1 is ours, and its files are a copy of /etc.
pub(crate) fn node() {
    const NODE: &str = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
        mount -t tmpfs none /usr/local/bin; mount -t tmpfs none /run/boundary 2>/dev/null || true
        chmod 755 /usr/local/bin; mkdir -p /etc/containerd; cp \"$1/before.toml\" /etc/containerd/config.toml
        printf '#!/bin/sh\\ntouch /mnt/done; echo systemctl \"$*\"\\n' >/usr/local/bin/systemctl; chmod 755 /usr/local/bin/systemctl
        rm -rf /etc/docker
        for time in 1 2; do
          sh \"$0\" & node=$!
          timeout 60 sh -c 'until [ -e /mnt/done ]; do sleep 0.05; done'
          kill -TERM $node; wait $node; rm /mnt/done
          cmp \"$1/before.toml\" /etc/containerd/config.toml; [ ! -e /usr/local/bin/boundary-shim ]
        done
        printf '#!/bin/sh\\necho systemctl \"$*\"; [ \"$1\" != restart ]\\n' >/usr/local/bin/systemctl
        ! sh \"$0\"; cmp \"$1/before.toml\" /etc/containerd/config.toml";
    let here = Installation::new();
    let script = here.directory.path().join("node.sh");
    put(&here.directory.path().join("before.toml"), DEBIAN);
    let (name, policy) = ("boundary".parse().expect("a name"), "npm".parse().expect("a name"));
    let manifests = kubernetes::manifests(&name, &policy, &"image".parse().expect("a name")).expect("made");
    let (_, block) = manifests.split_once("- |\n").expect("a script");
    let (block, _) = block.split_once("\n---").expect("an end");
    let lines = block.lines().map(|line| line.strip_prefix("              ").unwrap_or_default());
    let inside =
        lines.collect::<Vec<_>>().join("\n").replace("</boundary-shim", &format!("<{}", here.binary.display()));
    put(&script, &inside);

    let words = ["--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", NODE];
    let output = in_namespaces(&words, &script, here.directory.path());
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}\n{}", text(&output.stderr));
    let all: Vec<_> = said.lines().filter(|line| line.starts_with("systemctl")).collect();
    let (restart, start) = ("systemctl restart containerd", "systemctl start containerd");
    assert_eq!(all, [restart, restart, restart, restart, restart, start], "{said}");
    assert!(said.contains("link /usr/local/bin/boundary-npm to boundary-shim"), "{said}");
}

/// A kubectl that only keeps what it is given.
pub(crate) fn kubectl() {
    let here = Installation::new();
    let at = |name: &str| here.directory.path().join(name);
    let prepared = |words: &[&str]| {
        let mut command = Command::new(&here.binary);
        command.args(["install", "kubernetes"]).args(words).env_clear().env("PATH", here.directory.path());
        command
    };
    let printed = prepared(&[]).output().expect("it runs");
    assert_eq!(printed.status.code(), Some(0));
    assert!(text(&printed.stdout).contains("kind: DaemonSet"), "{}", text(&printed.stdout));

    let output = prepared(&["--apply"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("boundary-shim: kubectl apply: "), "{}", text(&output.stderr));

    put(&at("kubectl"), &format!("#!/bin/sh\necho \"$*\"; /bin/cat >{}\n", at("given").display()));
    std::fs::set_permissions(at("kubectl"), PermissionsExt::from_mode(0o755)).expect("a mode");
    let output = prepared(&["--apply"]).output().expect("it runs");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "apply -f -\n"));
    assert_eq!(std::fs::read(at("given")).expect("given"), printed.stdout);

    let output = prepared(&["--name", "A"]).output().expect("it runs");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
}
