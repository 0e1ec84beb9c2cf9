//! `install podman` and `install crio`: what the commands say. What podman makes of it:
//! `tests/podman`.

use crate::here::{Here, NO_POLICY, in_an_etc_of_its_own, text};

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
    let no_npm = NO_POLICY.replace("default.yaml", "npm.yaml");
    let podman = format!(
        "create /etc/boundary\ncreate /etc/boundary/policies\ncreate {folder}\nwrite {folder}/boundary.conf\n  \
         runtime boundary: {program}\n{NO_POLICY}{example}already installed\n{NO_POLICY}{example}\
         remove {folder}/boundary.conf\n  runtime boundary removed\nnot installed\n"
    );
    let crio = format!(
        "link {link} to boundary-shim\nwrite {folder}/npm.conf\n  runtime npm: {link}\n{restart}{no_npm}\
         already installed\n{no_npm}remove {folder}/npm.conf\n  runtime npm removed\nremove {link}\n{restart}not installed\n"
    );
    assert_eq!(text(&output.stdout), podman + &crio);
    assert!(!here.at("boundary-npm").is_symlink());
}
