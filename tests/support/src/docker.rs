//! Docker in the bed, for more than one suite: its commands, and containers that are removed when
//! dropped.
//!
//! Nothing here may assume that a container runs under the filter: `BOUNDARY_TEST_RUNTIME=runc`
//! runs the same commands under plain runc, to prove the bed itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, enter, records, unique};
use crate::command::{Answer, COMMAND_SECONDS, must_be_shut_out, run, shell, wait_for};
use crate::programs::{REPOSITORY, build_go_program};
use crate::traces::Footprint;

/// The image's name in the bed.
pub const IMAGE: &str = "bed";

/// The runtime that containers get.
pub fn runtime() -> String {
    std::env::var("BOUNDARY_TEST_RUNTIME").unwrap_or_else(|_| "boundary".to_owned())
}

/// The major version of the engine that a bed would run.
pub fn engine_version() -> Option<u32> {
    let root = std::env::var("BED_ENGINE_ROOT").unwrap_or_else(|_| "/".to_owned());
    // `Docker version 20.10.24+dfsg1, build …`
    let said = run(COMMAND_SECONDS, &["chroot", &root, "dockerd", "--version"]).stdout;
    said.split_whitespace()
        .nth(2)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Whether this machine has a program.
pub fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    })
}

impl Bed {
    /// A bed with Docker and the image in it.
    pub fn with_docker() -> Self {
        Self::with_docker_and("tests/docker/etc").remembered()
    }

    /// The same, with another folder for its `/etc`.
    pub fn with_docker_and(etc: &str) -> Self {
        let bed = Self::up("docker", etc, |bin| {
            build_go_program("tests/support/nesting/main.go", &bin.join("go-jail"));
            for name in ["boundary-unwritten", "boundary-huge"] {
                symlink("boundary-shim", bin.join(name))
                    .expect("a link whose policy is not in the repository");
            }
        });
        bed.import_image();
        bed
    }

    /// Starts dockerd anew. Its containers end before that: it would wait for them.
    pub fn restart_docker(&self) {
        for container in self
            .docker(&["ps", "--quiet"])
            .must_succeed()
            .stdout
            .lines()
        {
            self.docker(&["kill", container]).must_succeed();
        }
        fs::File::create(self.path("restart")).expect("a file");
        self.exec(&["sh", "-c", "kill $(cat /run/dockerd.pid)"])
            .must_succeed();
        wait_for("dockerd to be started anew", || {
            !self.path("restart").exists()
        });
    }

    fn import_image(&self) {
        let script = "\"$1\" \"$2\" curl ip bridge nft unshare bwrap \"$3\" \"$4\" | docker --host \"unix://$5\" import - \"$6\"";
        let image = Path::new(REPOSITORY).join("scripts/bed-image");
        let [authority, attacker, jail, socket] =
            ["ca/ca.pem", "bin/attacker", "bin/go-jail", "docker.sock"].map(|name| self.path(name));
        let arguments = [image, authority, attacker, jail, socket, IMAGE.into()];
        shell(script, &arguments);
    }

    /// Runs a Docker command; panics only if it exceeds its deadline.
    pub fn docker(&self, arguments: &[&str]) -> Answer {
        self.docker_within(COMMAND_SECONDS, arguments)
    }

    /// The same with another deadline, in seconds.
    pub fn docker_within(&self, seconds: u64, arguments: &[&str]) -> Answer {
        let host = format!("unix://{}", self.path("docker.sock").display());
        let mut command = vec!["docker", "--host", &host];
        command.extend(arguments);
        run(seconds, &command)
    }

    /// Starts one, its standard output a pipe. The program brings its own deadline.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let [program, options @ ..] = enter(&self.first().to_string()).map(str::to_owned);
        let mut command = Command::new(program);
        command
            .args(options)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts")
    }

    /// The host's ends of the links on a bridge.
    pub fn ports_of(&self, bridge: &str) -> Vec<String> {
        let ports = fs::read_dir(self.inside(&format!("/sys/class/net/{bridge}/brif")))
            .expect("a bridge")
            .flatten();
        ports
            .map(|port| port.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Starts a container that sleeps; `flags` go before the image.
    pub fn sleeper(&self, flags: &[&str]) -> Container<'_> {
        self.start(flags, &["sleep", "600"])
    }

    /// Starts a container with a command, detached.
    pub fn start(&self, flags: &[&str], command: &[&str]) -> Container<'_> {
        self.start_with(&runtime(), flags, command)
    }

    /// The same with a runtime of the caller's choice.
    pub fn start_with(&self, runtime: &str, flags: &[&str], command: &[&str]) -> Container<'_> {
        let container = Container {
            bed: self,
            name: unique("c"),
        };
        let mut arguments = vec![
            "run",
            "--detach",
            "--runtime",
            runtime,
            "--name",
            &container.name,
        ];
        arguments.extend(flags);
        arguments.push(IMAGE);
        arguments.extend(command);
        self.docker(&arguments).must_succeed();
        container
    }

    /// Runs a shell script in a container of its own to the end.
    pub fn run(&self, flags: &[&str], script: &str) -> Answer {
        self.run_with(&runtime(), flags, script)
    }

    /// The same with a runtime of the caller's choice.
    pub fn run_with(&self, runtime: &str, flags: &[&str], script: &str) -> Answer {
        let name = unique("r");
        let mut arguments = vec!["run", "--rm", "--runtime", runtime, "--name", &name];
        arguments.extend(flags);
        arguments.extend([IMAGE, "sh", "-c", script]);
        self.docker(&arguments)
    }
}

/// A container of the bed, removed by force when dropped.
#[derive(Debug)]
pub struct Container<'bed> {
    bed: &'bed Bed,
    /// Its name.
    pub name: String,
}

impl Container<'_> {
    /// `docker exec` of a shell script.
    pub fn exec(&self, script: &str) -> Answer {
        self.bed.docker(&["exec", &self.name, "sh", "-c", script])
    }

    /// Runs `attacker probe …`, whose outcome must be that of something that doesn't get through.
    #[track_caller]
    pub fn is_shut_out(&self, probe: &str) {
        must_be_shut_out(probe, &self.exec(&format!("attacker probe {probe}")));
    }

    /// One value of `docker inspect`.
    pub fn inspect(&self, format: &str) -> String {
        let answer = self
            .bed
            .docker(&["inspect", "--format", format, &self.name]);
        answer.must_succeed().stdout.trim().to_owned()
    }

    /// Its full id.
    pub fn id(&self) -> String {
        self.inspect("{{.Id}}")
    }

    /// Its first process, as this machine counts: dockerd counts within the bed. It is the first of
    /// its pid namespace.
    pub fn pid(&self) -> i32 {
        let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
        let own = namespace(
            &self
                .bed
                .inside("/proc")
                .join(self.inspect("{{.State.Pid}}")),
        )
        .expect("a namespace");
        let is_first = |process: &Path| {
            let status = fs::read_to_string(process.join("status")).unwrap_or_default();
            status
                .lines()
                .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"))
        };
        let processes = fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .map(|entry| entry.path());
        let mut found = processes
            .filter(|process| namespace(process).as_ref() == Some(&own) && is_first(process));
        let first = found.next().expect("the container's first process");
        first
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|pid| pid.parse().ok())
            .expect("a pid")
    }

    /// Its address on the default bridge.
    pub fn address(&self) -> String {
        self.inspect("{{.NetworkSettings.IPAddress}}")
    }

    /// Runs a Docker verb on it.
    pub fn docker(&self, verb: &str) -> Answer {
        self.bed.docker(&[verb, &self.name])
    }

    /// Removes it by force.
    pub fn remove(&self) {
        self.bed
            .docker(&["rm", "--force", &self.name])
            .must_succeed();
    }

    /// The audit file's records, as JSON.
    pub fn records(&self) -> Vec<serde_json::Value> {
        records(self.bed, &self.id())
    }

    /// The host's end of its uplink, on the default bridge.
    pub fn uplink(&self) -> String {
        self.bed.port_of(
            "docker0",
            &self.address(),
            &self.inspect("{{.NetworkSettings.MacAddress}}"),
        )
    }

    /// What it has, by which it can be missed later.
    pub fn footprint(&self) -> Footprint {
        Footprint::of(self.bed, &self.id(), self.uplink())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.bed.docker(&["rm", "--force", &self.name]);
    }
}
