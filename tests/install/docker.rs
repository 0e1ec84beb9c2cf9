//! `install docker`: what a real dockerd makes of it, and what the command says.

use std::process::Output;

use boundary_shim::integrate::docker::Docker;
use boundary_shim::integrate::docker::servers::HostDns;
use boundary_shim::integrate::{self, Engine};

use crate::dockerd::Dockerd;
use crate::here::{DENIED, FIRST_POLICY, Here, NONE_LEFT, in_an_etc_of_its_own, text};

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
        as_default: false,
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

/// dockerd itself says which runtime it gives to a container for which none is named.
pub(crate) fn sets_the_default() {
    let here = Here::new();
    here.put(CONFIG, "{}");
    let dockerd = Dockerd::start(&here.at(""), &[]);
    assert_eq!(dockerd.default_runtime(), "runc");
    let Engine::Docker(docker) = docker(&here) else {
        unreachable!()
    };
    let engine = Engine::Docker(Docker {
        as_default: true,
        ..docker
    });
    here.install(&engine, "boundary", "default");
    dockerd.wait_for("it offers boundary", |runtimes| {
        runtimes.contains_key("boundary")
    });
    assert_eq!(dockerd.default_runtime(), "boundary");
    here.uninstall(&engine, "boundary");
    dockerd.wait_for("it doesn't offer it", |runtimes| {
        !runtimes.contains_key("boundary")
    });
    assert_eq!(dockerd.default_runtime(), "runc");
}

/// A container that was made and never started needs its runtime, too.
pub(crate) fn purges() {
    const SCRIPT: &str = "
        mkdir /mnt/here; mount --bind $2 /mnt/here; mount -t tmpfs -o mode=755 none /run; mkdir -p $2 /run/boundary-proofs
        mount --move /mnt/here $2
        mount -t tmpfs none /var/log; mkdir /var/log/boundary; touch /var/log/boundary/1.jsonl
        mkdir -p /etc/boundary; echo '# mine' >/etc/boundary/config.toml
        $0 install docker --daemon-config $1 --json
        tar -c -T /dev/null | docker -H unix://$2/socket import - empty >/dev/null
        docker -H unix://$2/socket create --name web --runtime boundary --dns 192.0.2.53 empty x >/dev/null
        $0 uninstall docker --daemon-config $1 --purge && exit 9
        ls /etc/boundary/policies /var/log/boundary
        docker -H unix://$2/socket rm web >/dev/null
        $0 uninstall docker --daemon-config $1 --purge --json
        ls -d /etc/boundary /var/log/boundary /run/boundary* 2>/dev/null || echo nothing";
    let here = Here::new();
    here.put(CONFIG, "{\"dns\": [\"192.0.2.53\"]}");
    let _dockerd = Dockerd::start(&here.at(""), &[]);
    let output = in_an_etc_of_its_own(
        &[],
        SCRIPT,
        &[&here.ours.binary, &here.at(CONFIG), &here.at("")],
    );
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(
        (output.status.code(), complained),
        (
            Some(0),
            "boundary-shim: web need it to be started: remove them first\n"
        ),
        "{said}"
    );
    let mut lines = said.lines();
    let mut json = || {
        let told: serde_json::Value =
            serde_json::from_str(lines.next().expect("a line")).expect("JSON");
        let step = |step: &serde_json::Value| step["step"].as_str().expect("text").to_owned();
        let steps: Vec<String> = told["steps"]
            .as_array()
            .expect("a list")
            .iter()
            .map(step)
            .collect();
        assert_eq!(told["dry_run"], false);
        steps
    };
    let installed = json();
    assert!(
        installed.iter().any(|step| step.starts_with("reload")),
        "{installed:?}"
    );
    let listed: Vec<&str> = said
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('{'))
        .collect();
    assert_eq!(
        listed,
        [
            "/etc/boundary/policies:",
            "default.yaml",
            "",
            "/var/log/boundary:",
            "1.jsonl"
        ]
    );
    let last: Vec<&str> = said.lines().rev().take(2).collect();
    assert_eq!(last[0], "nothing");
    assert!(
        last[1].contains("remove all of /etc/boundary")
            && last[1].contains("remove all of /var/log/boundary"),
        "{said}"
    );
}

pub(crate) fn command_for_real() {
    const SCRIPT: &str = "for verb in install install uninstall uninstall; do $0 $verb docker --daemon-config $1; done
        stat -c %a $1";
    let here = Here::new();
    here.put(CONFIG, "{\"dns\": [\"192.0.2.53\"]}");
    let output = in_an_etc_of_its_own(&[], SCRIPT, &[&here.ours.binary, &here.at(CONFIG)]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (config, binary) = (here.at(CONFIG), here.ours.binary.display());
    let config = config.display();
    let later = "note: no running dockerd uses this file: it takes effect when dockerd starts\n";
    let example = "try: docker run --rm --runtime=boundary IMAGE COMMAND\n";
    let expected = format!(
        "write {config}\n  runtime boundary: {binary}\n{FIRST_POLICY}{later}{DENIED}{example}\
         already installed\n{DENIED}{example}\
         write {config}\n  runtime boundary removed (was {binary})\n{NONE_LEFT}\
         note: dns is kept (192.0.2.53): it isn't what install wrote\n{later}\
         not installed\n640\n"
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
