//! Containers with real clients of TLS of all kinds, as Debian has them.

use std::path::{Path, PathBuf};

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, run, shell};
use test_support::programs::REPOSITORY;

/// The image, as `scripts/trust-image` makes it. It doesn't know the little internet's authority.
const CLIENTS: &str = "clients";
/// The same with that among its roots.
const KNOWING: &str = "knowing-clients";

/// Its Java.
pub(crate) const JAVA: &str = "/usr/lib/jvm/*/bin";

/// Of this machine: Python's modules, with their libraries, and npm.
const MODULES: [&str; 8] = [
    "-v",
    "/machine/usr/lib/python3:/usr/lib/python3:ro",
    "-v",
    "/machine/usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:ro",
    "-v",
    "/machine/usr/share/python-wheels:/usr/share/python-wheels:ro",
    "-v",
    "/machine/usr/lib/node_modules:/usr/lib/node_modules:ro",
];

/// A volume with cargo, which machines have from rustup: it is at `/cargo`.
pub(crate) fn cargo(bed: &Bed) -> String {
    let sysroot = run(10, &["rustc", "--print", "sysroot"]);
    let program = Path::new(sysroot.must_succeed().stdout.trim()).join("bin/cargo");
    std::fs::copy(program, bed.path("cargo")).unwrap();
    format!("{}:/cargo:ro", bed.path("cargo").display())
}

/// A container of the image.
pub(crate) struct Client<'bed> {
    bed: &'bed Bed,
    /// Its name.
    pub(crate) name: String,
}

impl<'bed> Client<'bed> {
    /// One that knows the roots of this machine, as any container from a registry would.
    pub(crate) fn start(bed: &'bed Bed, runtime: &str) -> Self {
        image(bed);
        Self::of(bed, CLIENTS, runtime, &[])
    }

    /// One that knows the little internet's authority, too, with further modules and `flags`.
    pub(crate) fn knowing(bed: &'bed Bed, runtime: &str, flags: &[&str]) -> Self {
        if !has_image(bed, KNOWING) {
            let maker = Self::start(bed, "runc");
            let authority = bed.path("ca/ca.pem").display().to_string();
            let to = format!("{}:/usr/local/share/ca-certificates/little.crt", maker.name);
            bed.docker(&["cp", &authority, &to]).must_succeed();
            let script = format!(
                "update-ca-certificates && {JAVA}/keytool -importcert -noprompt -cacerts -storepass changeit -alias little \
                 -file /usr/local/share/ca-certificates/little.crt"
            );
            maker.exec(&script).must_succeed();
            bed.docker(&["commit", &maker.name, KNOWING]).must_succeed();
        }
        Self::of(bed, KNOWING, runtime, &[&MODULES[..], flags].concat())
    }

    fn of(bed: &'bed Bed, image: &str, runtime: &str, flags: &[&str]) -> Self {
        let name = unique("clients");
        let run = ["run", "--detach", "--runtime", runtime, "--name", &name];
        let what = [image, "sleep", "600"];
        bed.docker(&[&run[..], flags, &what].concat())
            .must_succeed();
        Client { bed, name }
    }

    /// Its full id.
    pub(crate) fn id(&self) -> String {
        let inspect = ["inspect", "--format", "{{.Id}}", &self.name];
        let answer = self.bed.docker(&inspect);
        answer.must_succeed().stdout.trim().to_owned()
    }

    /// `docker exec` of a shell script.
    pub(crate) fn exec(&self, script: &str) -> Answer {
        self.bed
            .docker_within(60, &["exec", &self.name, "sh", "-c", script])
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        self.bed.docker(&["rm", "--force", &self.name]);
    }
}

/// The image, made if it isn't there yet; gives its name.
pub(crate) fn image(bed: &Bed) -> &'static str {
    if !has_image(bed, CLIENTS) {
        let script = "\"$1\" 2>/dev/null | docker --host \"unix://$2\" import - \"$3\"";
        let program = PathBuf::from(REPOSITORY).join("scripts/trust-image");
        shell(script, &[program, bed.path("docker.sock"), CLIENTS.into()]);
    }
    CLIENTS
}

fn has_image(bed: &Bed, image: &str) -> bool {
    bed.docker(&["image", "inspect", image]).code == 0
}
