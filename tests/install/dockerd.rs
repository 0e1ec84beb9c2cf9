//! A dockerd of our own, in one directory, and gone when dropped.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

/// Starting takes a second or two; a loaded machine more.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Dockerd {
    directory: PathBuf,
    flags: Vec<String>,
    process: Child,
}

/// Whether the tests can run here at all.
pub(crate) fn can_run() -> bool {
    let works = |program: &str| {
        Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    works("dockerd") && works("docker")
}

impl Dockerd {
    /// Starts one that reads `daemon.json` in the directory, and waits until it answers.
    pub(crate) fn start(directory: &Path, flags: &[&str]) -> Self {
        let flags: Vec<_> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let process = spawn(directory, &flags);
        let mut dockerd = Self {
            directory: directory.to_owned(),
            flags,
            process,
        };
        dockerd.wait_until_it_answers();
        dockerd
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.process = spawn(&self.directory, &self.flags);
        self.wait_until_it_answers();
    }

    /// What `docker info` lists.
    pub(crate) fn runtimes(&self) -> Map<String, Value> {
        let found = self.try_runtimes();
        assert!(found.is_some(), "no answer: {}", self.log());
        found.unwrap_or_default()
    }

    /// Waits for a state of the runtimes, and gives it.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        state: impl Fn(&Map<String, Value>) -> bool,
    ) -> Map<String, Value> {
        let start = Instant::now();
        loop {
            let runtimes = self.runtimes();
            if state(&runtimes) {
                return runtimes;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "in vain: {what}; it has {runtimes:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_until_it_answers(&mut self) {
        let start = Instant::now();
        while self.try_runtimes().is_none() {
            let ended = self.process.try_wait().expect("its state");
            assert!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "no dockerd: {ended:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The runtime of a container for which none is named.
    pub(crate) fn default_runtime(&self) -> String {
        self.info("{{.DefaultRuntime}}").expect("it answers")
    }

    fn try_runtimes(&self) -> Option<Map<String, Value>> {
        serde_json::from_str(&self.info("{{json .Runtimes}}")?).ok()?
    }

    fn info(&self, format: &str) -> Option<String> {
        let host = format!("unix://{}", self.directory.join("socket").display());
        let output = Command::new("docker")
            .args(["-H", &host, "info", "-f", format])
            .output()
            .ok()?;
        Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// SIGTERM, so that it ends its containerd too.
    fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).expect("a pid"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait();
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(directory: &Path, flags: &[String]) -> Child {
    let at = |name: &str| directory.join(name);
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(at("log"))
        .expect("a log");
    Command::new("dockerd")
        .args(["--bridge", "none", "--iptables=false"])
        .arg("--data-root")
        .arg(at("data"))
        .arg("--exec-root")
        .arg(at("exec"))
        .arg("--pidfile")
        .arg(at("pid"))
        .arg("-H")
        .arg(format!("unix://{}", at("socket").display()))
        .arg("--config-file")
        .arg(at("daemon.json"))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log)
        .spawn()
        .expect("dockerd starts")
}
