//! The machine as tests see it: commands by ssh, each with a deadline, containers, and the state
//! that they begin with.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use test_support::command::{Answer, run, wait_for_within};
use test_support::programs::{REPOSITORY, build_examples, build_go_program, product};

use crate::shell;

/// What one command may take, in seconds: an emulated machine is ten times slower than this one,
/// and this one may be busy.
const SECONDS: u64 = 240;
/// What a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(120);

/// The policy that containers have where a test doesn't write another.
const POLICY: &str = "allow:\n  - domain=allowed.test\n";

/// A machine that was set up.
#[derive(Debug)]
pub(crate) struct Machine {
    /// ssh's configuration, in which it is called `vm`.
    config: PathBuf,
}

impl Machine {
    /// Puts the programs into a fresh one, connects it to a little internet, and installs the
    /// product.
    pub(crate) fn set_up(config: PathBuf) -> Self {
        let machine = Self { config };
        machine.copy_programs();
        machine.connect();
        machine
            .run("boundary-shim install docker --restart >/root/install.log 2>&1")
            .must_succeed();
        machine.restore();
        let image = "cd /root/bed && PATH=$PATH:$PWD/bin ./bed-image ca/ca.pem curl ip nft unshare bwrap attacker go-jail \
                     2>/dev/null | docker import - bed";
        machine.run(image).must_succeed();
        machine
    }

    fn copy_programs(&self) {
        let directory = tempfile::tempdir().expect("a directory");
        let bin = directory.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        build_go_program("tests/support/nesting/main.go", &bin.join("go-jail"));
        let programs = build_examples().into_iter().chain([product()]);
        for program in programs {
            let to = bin.join(program.file_name().expect("a name"));
            // Most of them is what debuggers want to know.
            shell("strip -o \"$1\" \"$2\"", &[to, program]);
        }
        let scripts = Path::new(REPOSITORY).join("scripts");
        shell(
            "cp \"$1\"/bed-image \"$1\"/bed-internet \"$2\"",
            &[scripts, directory.path().to_owned()],
        );
        shell(
            "tar -C \"$1\" -c . | timeout 120 ssh -F \"$2\" vm \"mkdir -p bed && tar -C bed -x --no-same-owner\"",
            &[directory.path().to_owned(), self.config.clone()],
        );
        self.run("install -m 755 bed/bin/boundary-shim /usr/local/bin/")
            .must_succeed();
    }

    /// Sets all that tests change to what they begin with.
    pub(crate) fn restore(&self) {
        self.write("/etc/boundary/policies/default.yaml", POLICY);
        self.configure("");
        self.use_server("198.51.100.53");
        self.run("sysctl -w user.max_user_namespaces=11000; pkill dnsmasq; ip link del vpn0");
    }

    /// Has systemd-resolved ask another server.
    pub(crate) fn use_server(&self, server: &str) {
        self.write(
            "/etc/systemd/resolved.conf.d/internet.conf",
            &format!("[Resolve]\nDNS={server}\n"),
        );
        self.run("systemctl restart systemd-resolved")
            .must_succeed();
    }

    /// Connects it to the internet that the tests' hosts are in; again after each boot.
    pub(crate) fn connect(&self) {
        self.run("bed/bed-internet /root/bed").must_succeed();
        self.use_server("198.51.100.53");
        self.waits_for("the internet", "getent hosts allowed.test");
    }

    /// Runs a script as root.
    pub(crate) fn run(&self, script: &str) -> Answer {
        let config = self.config.to_str().expect("a plain path");
        run(SECONDS, &["ssh", "-F", config, "vm", script])
    }

    /// What a script that succeeds says, without the line's end.
    #[track_caller]
    pub(crate) fn says(&self, script: &str) -> String {
        self.run(script).must_succeed().stdout.trim().to_owned()
    }

    /// Waits until a script succeeds.
    #[track_caller]
    pub(crate) fn waits_for(&self, what: &str, script: &str) {
        wait_for_within(PATIENCE, what, || self.run(script).code == 0);
    }

    /// Writes a file, and makes the directory that it is in.
    pub(crate) fn write(&self, path: &str, content: &str) {
        self.run(&format!(
            "mkdir -p $(dirname {path}) && printf %s {} >{path}",
            quoted(content)
        ))
        .must_succeed();
    }

    /// Sets what the administrator decides, until the next test does; nothing: the defaults.
    pub(crate) fn configure(&self, settings: &str) {
        self.write("/etc/boundary/config.toml", settings);
    }

    /// Runs a script in a container of its own to the end.
    pub(crate) fn container(&self, runtime: &str, flags: &str, script: &str) -> Answer {
        self.run(&format!(
            "docker run --rm --runtime={runtime} {flags} bed sh -c {}",
            quoted(script)
        ))
    }

    /// Starts a container that sleeps.
    pub(crate) fn sleeper(&self, runtime: &str, flags: &str) -> Container<'_> {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        self.start(
            format!("c{}", COUNTER.fetch_add(1, Ordering::Relaxed)),
            runtime,
            flags,
        )
    }

    /// A container without any flag that tests share, as it takes seconds to start one.
    pub(crate) fn resident(&self, runtime: &str) -> Resident<'_> {
        let name = format!("resident-{runtime}");
        let there = self.run(&format!("docker inspect {name}")).code == 0;
        Resident(std::mem::ManuallyDrop::new(if there {
            Container {
                machine: self,
                name,
            }
        } else {
            self.start(name, runtime, "")
        }))
    }

    /// Takes those away, before a test that looks for what is left.
    pub(crate) fn alone(&self) {
        self.run("docker rm --force resident-runc resident-boundary");
    }

    fn start(&self, name: String, runtime: &str, flags: &str) -> Container<'_> {
        // Ends at once when it is told to.
        let command = format!(
            "docker run --detach --init --name {name} --runtime={runtime} {flags} bed sleep 3600"
        );
        self.run(&command).must_succeed();
        Container {
            machine: self,
            name,
        }
    }

    /// Restarts the machine, and waits until it answers.
    pub(crate) fn reboot(&self) {
        self.restart("systemctl reboot");
    }

    /// The same as by the power: at once, and nothing that wasn't on the disk is afterwards (sysrq,
    /// «b»).
    pub(crate) fn cut_power(&self) {
        self.restart("(sleep 0.1; echo b >/proc/sysrq-trigger) >/dev/null 2>&1 &");
    }

    fn restart(&self, how: &str) {
        let boot = self.says("cat /proc/sys/kernel/random/boot_id");
        self.run(how);
        let config = self.config.to_str().expect("a plain path");
        run(SECONDS, &["ssh", "-F", config, "-O", "exit", "vm"]);
        wait_for_within(PATIENCE * 2, "the machine to be back", || {
            let now = run(
                30,
                &[
                    "ssh",
                    "-F",
                    config,
                    "vm",
                    "cat /proc/sys/kernel/random/boot_id",
                ],
            );
            now.code == 0 && now.stdout.trim() != boot
        });
        self.waits_for("Docker", "docker version");
    }
}

/// A container, removed by force when dropped.
#[derive(Debug)]
pub(crate) struct Container<'machine> {
    machine: &'machine Machine,
    /// Its name.
    pub(crate) name: String,
}

/// A container that goes on when this is dropped.
#[derive(Debug)]
pub(crate) struct Resident<'machine>(std::mem::ManuallyDrop<Container<'machine>>);

impl<'machine> std::ops::Deref for Resident<'machine> {
    type Target = Container<'machine>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Container<'_> {
    /// `docker exec` of a shell script.
    pub(crate) fn exec(&self, script: &str) -> Answer {
        self.exec_with("", script)
    }

    /// The same with flags.
    pub(crate) fn exec_with(&self, flags: &str, script: &str) -> Answer {
        self.machine.run(&format!(
            "docker exec {flags} {} sh -c {}",
            self.name,
            quoted(script)
        ))
    }

    /// Its full id.
    pub(crate) fn id(&self) -> String {
        self.inspect("{{.Id}}")
    }

    /// One value of `docker inspect`.
    pub(crate) fn inspect(&self, format: &str) -> String {
        self.machine
            .says(&format!("docker inspect --format '{format}' {}", self.name))
    }

    /// Its filter's process.
    pub(crate) fn filter(&self) -> String {
        let records = "cat /run/boundary/*/record.json";
        let id = self.id();
        let text = self.machine.says(records);
        let mut records =
            serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
        let own = records.find_map(|record| {
            record
                .ok()
                .filter(|record| record["plan"]["container"] == *id)
        });
        own.expect("a container's state")["proxy"]["pid"].to_string()
    }

    /// The notices of its record.
    pub(crate) fn notices(&self) -> String {
        let script = format!(
            "cat /var/log/boundary/{}.jsonl 2>/dev/null | grep '\"notice\"'; true",
            self.id()
        );
        self.machine.says(&script)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.machine
            .run(&format!("docker rm --force {}", self.name));
    }
}

/// A text as one word of a shell's.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
