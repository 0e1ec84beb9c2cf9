//! `install podman` and `install crio`: what the commands say. What podman makes of it:
//! `tests/podman`.

use crate::here::{DENIED, FIRST_POLICY, Here, NONE_LEFT, in_an_etc_of_its_own, text};

pub(crate) fn command_for_real() {
    const SCRIPT: &str =
        "for verb in install install uninstall uninstall; do $0 $verb podman --folder $1; done
        for time in 1 2; do $0 install crio --name npm --policy npm --folder $1; done
        for time in 1 2; do $0 uninstall crio --name npm --folder $1; done";
    let here = Here::new();
    let output = in_an_etc_of_its_own(&[], SCRIPT, &[&here.ours.binary, &here.at("conf.d")]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let (folder, program, link) = (
        here.at("conf.d"),
        here.ours.binary.display(),
        here.at("boundary-npm"),
    );
    let (folder, link) = (folder.display(), link.display());
    let example = "try: podman --runtime=boundary run --rm IMAGE COMMAND\n";
    let restart =
        "note: CRI-O reads its configuration only when it starts: systemctl restart crio\n";
    let npm = |text: &str| text.replace("default.yaml", "npm.yaml");
    let (first_npm, npm_denied, none_left) = (npm(FIRST_POLICY), npm(DENIED), npm(NONE_LEFT));
    let podman = format!(
        "create {folder}\nwrite {folder}/boundary.conf\n  \
         runtime boundary: {program}\n{FIRST_POLICY}{DENIED}{example}already installed\n{DENIED}{example}\
         remove {folder}/boundary.conf\n  runtime boundary removed\n{NONE_LEFT}not installed\n"
    );
    let crio = format!(
        "link {link} to boundary-shim\nwrite {folder}/npm.conf\n  runtime npm: {link}\n{first_npm}{restart}{npm_denied}\
         already installed\n{npm_denied}remove {folder}/npm.conf\n  runtime npm removed\nremove {link}\n{none_left}{restart}not installed\n"
    );
    assert_eq!(text(&output.stdout), podman + &crio);
    assert!(!here.at("boundary-npm").is_symlink());
}
