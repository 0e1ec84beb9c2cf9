//! `install` and `uninstall` against a real dockerd and real containerds, and the words of both commands.
//!
//! Each of dockerd's tests starts a dockerd of its own: its data, sockets, pid and configuration are in a directory of its own, so the
//! machine's dockerd (and any other test's) is neither seen nor touched. Needs root, dockerd and docker, or containerd; without them the
//! tests are reported as ignored, or fail where `CI` is set.

#![expect(clippy::disallowed_methods, reason = "the tests start the program itself, dockerd and docker")]

mod containerd;
mod dockerd;

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use boundary_shim::integrate::docker::{self, Places};
use boundary_shim::integrate::step;
use dockerd::Dockerd;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let must = std::env::var_os("CI").is_some();
    let trial_if = |possible: bool| {
        move |name: &str, test: fn()| {
            let run = move || -> Result<(), Failed> {
                test();
                Ok(())
            };
            Trial::test(name, run).with_ignored_flag(!must && !possible)
        }
    };
    let (trial, of_containerd) = (trial_if(dockerd::can_run()), trial_if(containerd::can_run()));
    let of_newer = trial_if(containerd::can_run_newer());
    let trials = vec![
        trial("dockerd_offers_the_runtime_after_install_and_not_after_uninstall", offers_the_runtime),
        trial("runtimes_of_the_command_line_are_not_lost_to_a_reload", keeps_flagged_runtimes),
        trial("a_dockerd_with_dns_on_its_command_line_still_starts", keeps_dns_flag),
        trial("the_default_runtime_of_the_command_line_is_not_removed", keeps_flagged_default),
        trial("the_command_tells_each_step_and_is_idempotent", command_for_real),
        trial("a_dry_run_changes_nothing", dry_run),
        trial("a_malformed_file_is_left_alone_with_code_1", malformed),
        trial("a_binary_that_others_could_replace_is_refused", replaceable),
        trial("only_root_may_install", not_root),
        trial("wrong_words_give_code_2", usage),
        of_containerd("containerd_offers_the_runtime_and_all_else_is_untouched", containerd::older_offers),
        of_newer("a_newer_containerd_offers_the_runtime_and_all_else_is_untouched", containerd::newer_offers),
        of_containerd("containerds_new_file_keeps_its_defaults", containerd::new_file),
        of_containerd("the_command_for_containerd_tells_each_step_and_is_idempotent", containerd::command_for_real),
        of_containerd("a_malformed_file_of_containerds_is_left_alone_with_its_line", containerd::malformed),
        of_containerd("a_node_is_prepared_and_left_as_it_was", containerd::node),
        of_containerd("kubernetes_objects_are_printed_or_handed_to_kubectl", containerd::kubectl),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A directory that only root can write to, all the way up (`/tmp` isn't), with our binary in it.
struct Installation {
    directory: tempfile::TempDir,
    binary: PathBuf,
}

impl Installation {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/run").expect("a directory");
        let binary = directory.path().join("boundary-shim");
        // By another process: a descriptor that is open for writing here would be inherited by whatever other tests start
        // meanwhile, and the copy could not be run as long (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_boundary-shim")).arg(&binary).status();
        assert!(copied.expect("cp").success());
        Self { directory, binary }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("daemon.json")
    }

    fn put_config(&self, text: &str) {
        boundary_shim::sys::file::replace(&self.config(), text.as_bytes(), 0o644).expect("written");
    }

    /// As the command does, but for the directories that it would make for the whole machine.
    fn places(&self) -> Places {
        Places {
            binary: self.binary.clone(),
            daemon_config: self.config(),
            policies: self.directory.path().join("policies"),
            running: self.directory.path().join("running"),
            resolv_confs: vec![self.directory.path().join("resolv.conf")],
        }
    }

    fn install(&self, name: &str, policy: &str) -> Vec<String> {
        let (name, policy) = (name.parse().expect("a name"), policy.parse().expect("a name"));
        let plan = docker::install(&self.places(), &name, &policy).expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
        plan.notes
    }

    fn uninstall(&self, name: &str) {
        let plan = docker::uninstall(&self.places(), &name.parse().expect("a name")).expect("planned");
        step::apply(&plan.steps, |_| Ok(())).expect("applied");
    }

    fn command(&self, words: &[&str]) -> Output {
        self.prepared(words).output().expect("it runs")
    }

    fn prepared(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().args(words).arg("--daemon-config").arg(self.config());
        command
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn offers_the_runtime() {
    let here = Installation::new();
    here.put_config("{\n    \"log-level\": \"warn\",\n    \"runtimes\": {\"other\": {\"path\": \"/bin/true\"}}\n}\n");
    let dockerd = Dockerd::start(here.directory.path(), &[]);

    here.install("boundary", "default");
    dockerd.wait_for("it offers boundary", |runtimes| runtimes.contains_key("boundary"));
    here.install("npm-only", "npm");
    let runtimes = dockerd.wait_for("it offers npm-only", |runtimes| runtimes.contains_key("npm-only"));
    assert_eq!(runtimes["boundary"]["path"].as_str(), here.binary.to_str());
    assert_eq!(runtimes["npm-only"]["path"].as_str(), here.directory.path().join("boundary-npm").to_str());
    assert_eq!(runtimes["other"]["path"], "/bin/true");

    here.uninstall("npm-only");
    here.uninstall("boundary");
    let runtimes = dockerd.wait_for("it offers neither", |runtimes| {
        !runtimes.contains_key("boundary") && !runtimes.contains_key("npm-only")
    });
    assert_eq!(runtimes["other"]["path"], "/bin/true");
    assert!(!here.directory.path().join("boundary-npm").is_symlink());
}

fn keeps_flagged_runtimes() {
    let here = Installation::new();
    here.put_config("{}");
    let mut dockerd = Dockerd::start(here.directory.path(), &["--add-runtime", "flagged=/bin/true"]);
    let notes = here.install("boundary", "default");
    assert!(notes.iter().any(|note| note.contains("--add-runtime")), "{notes:?}");
    assert!(dockerd.runtimes().contains_key("flagged"));

    dockerd.restart();
    let runtimes = dockerd.runtimes();
    assert!(runtimes.contains_key("flagged") && runtimes.contains_key("boundary"), "{runtimes:?}");
}

fn keeps_dns_flag() {
    let here = Installation::new();
    here.put_config("{}");
    let resolv_conf = here.directory.path().join("resolv.conf");
    boundary_shim::sys::file::replace(&resolv_conf, b"nameserver 192.0.2.53\n", 0o644).expect("written");
    let mut dockerd = Dockerd::start(here.directory.path(), &["--dns=192.0.2.1"]);
    here.install("boundary", "default");
    dockerd.restart();
    assert!(dockerd.runtimes().contains_key("boundary"));
    drop(dockerd);

    here.uninstall("boundary");
    here.install("boundary", "default");
    let dockerd = Dockerd::start(here.directory.path(), &[]);
    assert!(dockerd.runtimes().contains_key("boundary"), "with dns in the file");
}

fn keeps_flagged_default() {
    let here = Installation::new();
    here.put_config("{}");
    here.install("boundary", "default");
    let _dockerd = Dockerd::start(here.directory.path(), &["--default-runtime=boundary"]);
    let error = docker::uninstall(&here.places(), &"boundary".parse().expect("a name")).expect_err("it is needed");
    assert!(error.to_string().contains("default runtime"), "{error}");
}

/// In a mount namespace with a layer over `/etc`, since the command makes `/etc/boundary`.
fn command_for_real() {
    const PRIVATE_ETC: &str = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work
        mount -t overlay none -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
        rm -rf /etc/boundary
        for verb in install install uninstall uninstall; do $0 $verb docker --daemon-config $1; done
        stat -c %a /etc/boundary/policies $1";
    let here = Installation::new();
    here.put_config("{\"dns\": [\"192.0.2.53\"]}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", PRIVATE_ETC]).arg(&here.binary).arg(here.config());
    let output = command.output().expect("unshare runs");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (config, binary) = (here.config(), here.binary.display());
    let config = config.display();
    let later = "note: no dockerd that reads this file is running: it counts from its next start\n";
    let policy = "note: no policy yet, so everything is denied. To begin one: \
                  printf 'allow:\\n  - domain=example.com\\n' | sudo tee /etc/boundary/policies/default.yaml\n";
    let example = "try: docker run --rm --runtime=boundary IMAGE COMMAND\n";
    let expected = format!(
        "make /etc/boundary\nmake /etc/boundary/policies\nwrite {config}\n  runtime boundary: {binary}\n{later}{policy}{example}\
         already installed\n{policy}{example}\
         write {config}\n  no runtime boundary (was {binary})\n\
         note: `dns` stays (192.0.2.53): whose it is can't be told\n{later}\
         not installed\n755\n644\n"
    );
    assert_eq!(text(&output.stdout), expected);
}

fn dry_run() {
    let here = Installation::new();
    here.put_config("{\"log-level\": \"warn\"}");
    let before = std::fs::metadata("/etc/boundary").ok().and_then(|meta| meta.modified().ok());
    let output = here.command(&["install", "docker", "--policy", "npm", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let expected = format!("\"path\": \"{}\"", here.directory.path().join("boundary-npm").display());
    assert!(said.contains("this would be done:") && said.contains(&expected), "{said}");
    assert!(said.ends_with("try: docker run --rm --runtime=boundary IMAGE COMMAND\n"), "{said}");
    assert_eq!(std::fs::read_to_string(here.config()).expect("a file"), "{\"log-level\": \"warn\"}");
    assert!(!here.directory.path().join("boundary-npm").is_symlink());
    assert_eq!(std::fs::metadata("/etc/boundary").ok().and_then(|meta| meta.modified().ok()), before);
}

fn malformed() {
    let here = Installation::new();
    here.put_config("{\"runtimes\": []}");
    for words in [["install", "docker"], ["uninstall", "docker"]] {
        let output = here.command(&words);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let expected =
            format!("boundary-shim: {} is left alone: `runtimes` isn't an object\n", here.config().display());
        assert_eq!(text(&output.stderr), expected);
    }
    assert_eq!(std::fs::read_to_string(here.config()).expect("a file"), "{\"runtimes\": []}");
}

fn replaceable() {
    let here = Installation::new();
    std::os::unix::fs::chown(&here.binary, Some(65534), None).expect("chown");
    let output = here.command(&["install", "docker", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("isn't owned by root"), "{}", text(&output.stderr));

    std::os::unix::fs::chown(&here.binary, Some(0), None).expect("chown");
    let link = tempfile::tempdir().expect("a directory").keep().join("boundary-shim");
    symlink(&here.binary, &link).expect("a link");
    let mut command = Command::new(&link);
    command.args(["install", "docker", "--dry-run", "--daemon-config"]).arg(here.config());
    let output = command.output().expect("it runs");
    assert!(text(&output.stdout).contains(here.binary.to_str().expect("text")), "the file itself is named");
    std::fs::remove_dir_all(link.parent().expect("its directory")).expect("removed");
}

fn not_root() {
    let here = Installation::new();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(here.directory.path(), readable).expect("a mode");
    let output = here.prepared(&["install", "docker"]).uid(65534).gid(65534).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("use sudo"), "{}", text(&output.stderr));
}

fn usage() {
    let here = Installation::new();
    for words in
        [&["install"][..], &["install", "frobnicator"], &["uninstall", "docker", "--name", "runc"], &["help", "x"]]
    {
        let output = Command::new(&here.binary).args(words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(text(&output.stdout), "", "{words:?}");
        assert_ne!(text(&output.stderr), "", "{words:?}");
    }
    for words in [&["help"][..], &["-h"], &["--help"], &["install", "docker", "--help"]] {
        let output = Command::new(&here.binary).args(words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_ne!(text(&output.stdout), "", "{words:?}");
    }
    let output = Command::new(&here.binary).output().expect("it runs");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
}
