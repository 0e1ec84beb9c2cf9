//! The words of both commands, and who may say them, whichever the engine.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::here::{Here, text};

pub(crate) fn replaceable() {
    let here = Here::new();
    std::os::unix::fs::chown(&here.ours.binary, Some(65534), None).expect("chown");
    let output = here
        .prepared(&["install", "docker", "--dry-run"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("isn't owned by root"),
        "{}",
        text(&output.stderr)
    );

    std::os::unix::fs::chown(&here.ours.binary, Some(0), None).expect("chown");
    let link = tempfile::tempdir()
        .expect("a directory")
        .keep()
        .join("boundary-shim");
    symlink(&here.ours.binary, &link).expect("a link");
    let mut command = Command::new(&link);
    command
        .args(["install", "docker", "--dry-run", "--daemon-config"])
        .arg(here.at("daemon.json"));
    let output = command.output().expect("it runs");
    assert!(
        text(&output.stdout).contains(here.ours.binary.to_str().expect("text")),
        "the file itself is named"
    );
    std::fs::remove_dir_all(link.parent().expect("its directory")).expect("removed");
}

pub(crate) fn not_root() {
    let here = Here::new();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(here.at(""), readable).expect("a mode");
    let output = here
        .prepared(&["install", "docker"])
        .uid(65534)
        .gid(65534)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("use sudo"),
        "{}",
        text(&output.stderr)
    );
}

pub(crate) fn usage() {
    let here = Here::new();
    for words in [
        &["install"][..],
        &["install", "frobnicator"],
        &["uninstall", "docker", "--name", "runc"],
        &["help", "x"],
    ] {
        let output = Command::new(&here.ours.binary)
            .args(words)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(text(&output.stdout), "", "{words:?}");
        assert_ne!(text(&output.stderr), "", "{words:?}");
    }
    for words in [
        &["help"][..],
        &["-h"],
        &["--help"],
        &["install", "docker", "--help"],
    ] {
        let output = Command::new(&here.ours.binary)
            .args(words)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_ne!(text(&output.stdout), "", "{words:?}");
    }
    let output = Command::new(&here.ours.binary).output().expect("it runs");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
}
