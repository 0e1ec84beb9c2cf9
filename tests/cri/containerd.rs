//! containerd in the bed: `ctr`, and calls of CRI's gRPC service, made by curl.

use std::fs;
use std::path::Path;

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, COMMAND_SECONDS, run, shell};
use test_support::programs::REPOSITORY;

use crate::protobuf::Message;

/// The image's name in the bed: containerd wants it whole.
pub(crate) const IMAGE: &str = "bed.test/bed:latest";
/// Where images and containers of ctr are, and those of CRI.
const NAMESPACES: [&str; 2] = ["default", "k8s.io"];

/// The major version of the containerd that a bed would run.
pub(crate) fn version() -> Option<u32> {
    let root = std::env::var("BED_ENGINE_ROOT").unwrap_or_else(|_| "/".to_owned());
    // `containerd github.com/containerd/containerd 1.6.20~ds1 …`
    let said = run(
        COMMAND_SECONDS,
        &["chroot", &root, "containerd", "--version"],
    )
    .stdout;
    said.split_whitespace()
        .nth(2)?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// A bed with containerd and the image in it.
pub(crate) fn bed() -> Bed {
    let bed = Bed::up("containerd", "tests/cri/etc", |_| {});
    import_image(&bed);
    // The bridge is made with the first pod, and stays.
    bed.exec(&["ip", "link", "add", "pods0", "type", "bridge"])
        .must_succeed();
    bed.remembered()
}

fn import_image(bed: &Bed) {
    let scripts = Path::new(REPOSITORY).join("scripts");
    // One of the attackers is a file with capabilities.
    let script = "cp \"$3\" \"${3%/*}/capable-attacker\" && \
                  setcap cap_net_admin,cap_sys_admin=ep \"${3%/*}/capable-attacker\" && \
                  \"$1/bed-image\" \"$2\" curl ip \"$3\" \"${3%/*}/capable-attacker\" | \
                  \"$1/bed-archive\" \"$4\" >\"$5\"";
    let [authority, attacker, archive] =
        ["ca/ca.pem", "bin/attacker", "image.tar"].map(|name| bed.path(name));
    shell(
        script,
        &[scripts, authority, attacker, IMAGE.into(), archive.clone()],
    );
    let archive = archive.to_str().expect("a plain path");
    for namespace in NAMESPACES {
        bed.ctr(&["--namespace", namespace, "images", "import", archive])
            .must_succeed();
    }
    fs::remove_file(archive).expect("removed");
}

fn socket(bed: &Bed) -> String {
    bed.path("containerd.sock").display().to_string()
}

/// What a bed with containerd can do.
pub(crate) trait Containerd {
    /// Runs ctr.
    fn ctr(&self, arguments: &[&str]) -> Answer;
    /// A control group for a container of the bed.
    fn cgroup_of(&self, name: &str) -> String;
    /// Calls CRI; gives the answer, or the error's text.
    fn cri(&self, method: &str, request: &Message) -> Result<Message, String>;
}

impl Containerd for Bed {
    fn ctr(&self, arguments: &[&str]) -> Answer {
        self.exec(&[&["ctr", "--address", &socket(self)], arguments].concat())
    }

    fn cgroup_of(&self, name: &str) -> String {
        format!("/{}/{name}", self.cgroup())
    }

    fn cri(&self, method: &str, request: &Message) -> Result<Message, String> {
        let file = self.path(&unique("call"));
        let [asked, answered, headers] =
            ["asked", "answered", "headers"].map(|end| file.with_extension(end));
        fs::write(&asked, request.frame()).expect("written");
        let data = format!("@{}", asked.display());
        let url = format!("http://localhost/runtime.v1.RuntimeService/{method}");
        let options = [
            "--http2-prior-knowledge",
            "--unix-socket",
            &socket(self),
            "--data-binary",
            &data,
        ];
        let files = ["--dump-header", text(&headers), "--output", text(&answered)];
        let kind = [
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            &url,
        ];
        run(
            COMMAND_SECONDS,
            &[
                &["curl", "--silent", "--show-error"],
                &options[..],
                &files,
                &kind,
            ]
            .concat(),
        )
        .must_succeed();
        let headers = fs::read_to_string(&headers).expect("headers");
        let header = |name: &str| {
            headers
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        match header("grpc-status") {
            Some("0") => Ok(Message::from_frame(
                &fs::read(&answered).expect("an answer"),
            )),
            status => Err(format!(
                "{} {}",
                status.unwrap_or("no status"),
                header("grpc-message").unwrap_or_default()
            )),
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
