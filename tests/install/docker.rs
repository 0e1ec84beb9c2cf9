//! `install docker`: what a real dockerd makes of it, and what the command says.

use std::process::Output;

use boundary_shim::integrate::docker::Docker;
use boundary_shim::integrate::docker::servers::HostDns;
use boundary_shim::integrate::{self, Engine};

use crate::dockerd::Dockerd;
use crate::here::{Here, NO_POLICY, in_an_etc_of_its_own, text};

const CONFIG: &str = "daemon.json";

fn docker(here: &Here) -> Engine {
    let dns = HostDns {
        resolv_confs: vec![here.at("resolv.conf")],
        resolved: here.at("resolve"),
        drop_in: here.at("resolved.conf.d/boundary.conf"),
        answers: |_| true,
    };
    Engine::Docker(Docker {
        daemon_config: here.at(CONFIG),
        dns,
        restart: false,
    })
}

fn command(here: &Here, words: &[&str]) -> Output {
    here.prepared(words)
        .arg("--daemon-config")
        .arg(here.at(CONFIG))
        .output()
        .expect("it runs")
}

pub(crate) fn offers_the_runtime() {
    let here = Here::new();
    here.put(CONFIG, "{\n    \"log-level\": \"warn\",\n    \"runtimes\": {\"other\": {\"path\": \"/bin/true\"}}\n}\n");
    let dockerd = Dockerd::start(&here.at(""), &[]);

    here.install(&docker(&here), "boundary", "default");
    dockerd.wait_for("it offers boundary", |runtimes| {
        runtimes.contains_key("boundary")
    });
    here.install(&docker(&here), "npm-only", "npm");
    let runtimes = dockerd.wait_for("it offers npm-only", |runtimes| {
        runtimes.contains_key("npm-only")
    });
    assert_eq!(
        runtimes["boundary"]["path"].as_str(),
        here.ours.binary.to_str()
    );
    assert_eq!(
        runtimes["npm-only"]["path"].as_str(),
        here.at("boundary-npm").to_str()
    );
    assert_eq!(runtimes["other"]["path"], "/bin/true");

    here.uninstall(&docker(&here), "npm-only");
    here.uninstall(&docker(&here), "boundary");
    let runtimes = dockerd.wait_for("it offers neither", |runtimes| {
        !runtimes.contains_key("boundary") && !runtimes.contains_key("npm-only")
    });
    assert_eq!(runtimes["other"]["path"], "/bin/true");
    assert!(!here.at("boundary-npm").is_symlink());
}

pub(crate) fn keeps_flagged_runtimes() {
    let here = Here::new();
    here.put(CONFIG, "{}");
    let mut dockerd = Dockerd::start(&here.at(""), &["--add-runtime", "flagged=/bin/true"]);
    let notes = here.install(&docker(&here), "boundary", "default");
    assert!(
        notes.iter().any(|note| note.contains("--add-runtime")),
        "{notes:?}"
    );
    assert!(dockerd.runtimes().contains_key("flagged"));

    dockerd.restart();
    let runtimes = dockerd.runtimes();
    assert!(
        runtimes.contains_key("flagged") && runtimes.contains_key("boundary"),
        "{runtimes:?}"
    );
}

pub(crate) fn keeps_dns_flag() {
    let here = Here::new();
    here.put(CONFIG, "{}");
    here.put("resolv.conf", "nameserver 192.0.2.53\n");
    let mut dockerd = Dockerd::start(&here.at(""), &["--dns=192.0.2.1"]);
    here.install(&docker(&here), "boundary", "default");
    dockerd.restart();
    assert!(dockerd.runtimes().contains_key("boundary"));
    drop(dockerd);

    here.uninstall(&docker(&here), "boundary");
    here.install(&docker(&here), "boundary", "default");
    let dockerd = Dockerd::start(&here.at(""), &[]);
    assert!(
        dockerd.runtimes().contains_key("boundary"),
        "with dns in the file"
    );
}

pub(crate) fn keeps_flagged_default() {
    let here = Here::new();
    here.put(CONFIG, "{}");
    here.install(&docker(&here), "boundary", "default");
    let _dockerd = Dockerd::start(&here.at(""), &["--default-runtime=boundary"]);
    let error = integrate::uninstall(
        &docker(&here),
        &here.ours,
        &"boundary".parse().expect("a name"),
    )
    .expect_err("it is needed");
    assert!(error.to_string().contains("default runtime"), "{error}");
}

pub(crate) fn command_for_real() {
    const SCRIPT: &str = "for verb in install install uninstall uninstall; do $0 $verb docker --daemon-config $1; done
        stat -c %a /etc/boundary/policies $1";
    let here = Here::new();
    here.put(CONFIG, "{\"dns\": [\"192.0.2.53\"]}");
    let output = in_an_etc_of_its_own(&[], SCRIPT, &[&here.ours.binary, &here.at(CONFIG)]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (config, binary) = (here.at(CONFIG), here.ours.binary.display());
    let config = config.display();
    let later = "note: no running dockerd uses this file: it takes effect when dockerd starts\n";
    let example = "try: docker run --rm --runtime=boundary IMAGE COMMAND\n";
    let expected = format!(
        "create /etc/boundary\ncreate /etc/boundary/policies\nwrite {config}\n  runtime boundary: {binary}\n{later}{NO_POLICY}{example}\
         already installed\n{NO_POLICY}{example}\
         write {config}\n  runtime boundary removed (was {binary})\n\
         note: dns is kept (192.0.2.53): it isn't what install wrote\n{later}\
         not installed\n755\n640\n"
    );
    assert_eq!(text(&output.stdout), expected);
}

pub(crate) fn dry_run() {
    let here = Here::new();
    here.put(CONFIG, "{\"log-level\": \"warn\"}");
    let before = std::fs::metadata("/etc/boundary")
        .ok()
        .and_then(|meta| meta.modified().ok());
    let output = command(
        &here,
        &["install", "docker", "--policy", "npm", "--dry-run"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let expected = format!("\"path\": \"{}\"", here.at("boundary-npm").display());
    assert!(
        said.contains("these changes would be made:") && said.contains(&expected),
        "{said}"
    );
    assert!(
        said.ends_with("try: docker run --rm --runtime=boundary IMAGE COMMAND\n"),
        "{said}"
    );
    assert_eq!(here.get(CONFIG), "{\"log-level\": \"warn\"}");
    assert!(!here.at("boundary-npm").is_symlink());
    assert_eq!(
        std::fs::metadata("/etc/boundary")
            .ok()
            .and_then(|meta| meta.modified().ok()),
        before
    );
}

pub(crate) fn malformed() {
    let here = Here::new();
    here.put(CONFIG, "{\"runtimes\": []}");
    for words in [["install", "docker"], ["uninstall", "docker"]] {
        let output = command(&here, &words);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        let expected = format!(
            "boundary-shim: {} was not changed: runtimes is not an object\n",
            here.at(CONFIG).display()
        );
        assert_eq!(text(&output.stderr), expected);
    }
    assert_eq!(here.get(CONFIG), "{\"runtimes\": []}");
}
