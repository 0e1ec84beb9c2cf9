//! What a container is given so that its programs trust a gateway that intercepts their TLS, and that
//! all else is as with runc: the image, its package manager's commands, `docker diff` and `commit`.
//!
//! Which authority the filter makes is not the matter here. Where a client is to trust a server, the
//! little internet's authority is put where the filter puts its own: into the same files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use test_support::bed::{Bed, unique};
use test_support::command::{Answer, shell};
use test_support::docker::{Container, IMAGE};
use test_support::harness::Test;

use crate::clients::{Client, JAVA};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_container_has_the_authority_its_images_roots_and_the_hosts",
        files,
    ),
    ("what_exec_adds_has_the_variables_too", exec),
    ("what_is_set_stays_as_it_is", set),
    (
        "where_nothing_can_be_intercepted_there_is_nothing_of_it",
        nothing,
    ),
    ("who_joins_trusts_the_gateway_that_it_gets", joined),
    (
        "a_user_namespace_and_a_read_only_root_make_no_difference",
        bounded,
    ),
    ("an_image_without_any_roots_gets_the_hosts", bare),
    ("a_hostile_image_is_not_followed", hostile),
    ("a_bad_extra_ca_is_one_error", bad_extra),
    ("the_files_go_with_the_container", removed),
];

pub(crate) const CLIENT_TESTS: &[Test] = &[
    ("clients_of_all_kinds_trust_the_authority", clients),
    (
        "an_images_own_commands_change_its_roots_as_with_runc",
        commands,
    ),
];

const RUNTIME: &str = "boundary-trust";
const FILES: &str = "/dev/boundary";
/// Where the files are on the bed's host.
const ON_HOST: &str = "/var/lib/boundary/trust";
/// How many certificates a file has.
const COUNT: &str = "grep -c BEGIN";

fn start<'bed>(bed: &'bed Bed, flags: &[&str]) -> Container<'bed> {
    bed.start_with(RUNTIME, flags, &["sleep", "600"])
}

/// The directories with files of containers.
fn directories(bed: &Bed) -> Vec<PathBuf> {
    let entries = fs::read_dir(bed.inside(ON_HOST)).into_iter().flatten();
    let paths = entries.flatten().map(|entry| entry.path());
    paths.collect()
}

/// That of one container.
fn directory(bed: &Bed, container: &Container<'_>) -> PathBuf {
    let id = container.id();
    let of = |path: &PathBuf| path.to_string_lossy().contains(&id);
    directories(bed)
        .into_iter()
        .find(of)
        .expect("its directory")
}

fn number(answer: &Answer) -> usize {
    answer.must_succeed().stdout.trim().parse().unwrap()
}

fn files(bed: &Bed) {
    let container = start(bed, &[]);
    assert_eq!(
        number(&container.exec(&format!("{COUNT} {FILES}/authority.pem"))),
        1
    );
    // The image has one, the host some hundred.
    let roots = number(&container.exec(&format!("{COUNT} {FILES}/roots.pem")));
    let hosts = fs::read_to_string(bed.inside("/etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert_eq!(roots, hosts.matches("BEGIN CERT").count() + 2);
    container
        .exec("curl -sS -m 5 https://allowed.test/")
        .must_succeed();
    // Of the image nothing is covered, of the files nothing can be changed.
    let own = container.exec(&format!("{COUNT} /etc/ssl/certs/ca-certificates.crt"));
    assert_eq!(number(&own), 1);
    container
        .exec(&format!("echo x >>{FILES}/roots.pem"))
        .must_fail();
    assert_eq!(container.docker("diff").must_succeed().stdout, "");
}

fn exec(bed: &Bed) {
    let container = bed.start_with(RUNTIME, &[], &["sh", "-c", "env >/tmp/env; sleep 600"]);
    let first = container.exec("cat /tmp/env").must_succeed().stdout.clone();
    for (name, file) in [
        ("SSL_CERT_FILE", "roots.pem"),
        ("GIT_SSL_CAINFO", "roots.pem"),
        ("NODE_EXTRA_CA_CERTS", "authority.pem"),
    ] {
        let entry = format!("{name}={FILES}/{file}\n");
        assert!(first.contains(&entry), "{first}");
        let added = container.exec("env").must_succeed().stdout.clone();
        assert!(added.contains(&entry), "{added}");
    }
    let chosen = [
        "exec",
        "--env",
        "SSL_CERT_FILE=/mine",
        &container.name,
        "env",
    ];
    let chosen = bed.docker(&chosen).must_succeed().stdout.clone();
    assert!(chosen.contains("SSL_CERT_FILE=/mine\n"), "{chosen}");
    assert!(!chosen.contains("CURL_CA_BUNDLE"), "{chosen}");
}

fn set(bed: &Bed) {
    let flags = [
        "--env",
        "SSL_CERT_FILE=/mine",
        "--env",
        "NODE_EXTRA_CA_CERTS=",
    ];
    let said = bed
        .run_with(RUNTIME, &flags, "env")
        .must_succeed()
        .stdout
        .clone();
    for kept in ["SSL_CERT_FILE=/mine\n", "NODE_EXTRA_CA_CERTS=\n"] {
        assert!(said.contains(kept), "{said}");
    }
    // What would go before that.
    assert!(!said.contains("CURL_CA_BUNDLE"), "{said}");
    assert!(said.contains("GIT_SSL_CAINFO"), "{said}");
}

fn nothing(bed: &Bed) {
    let script = "env; cat /proc/self/mounts; ls /dev";
    let said = bed.run(&[], script).must_succeed().stdout.clone();
    assert!(
        !said.contains("boundary") && !said.contains("CERT"),
        "{said}"
    );
    let container = bed.sleeper(&[]);
    let id = container.id();
    let is_its = |path: &PathBuf| path.to_string_lossy().contains(&id);
    assert!(!directories(bed).iter().any(is_its));
}

fn joined(bed: &Bed) {
    let owner = start(bed, &[]);
    let network = format!("container:{}", owner.name);
    let member = start(bed, &["--network", &network]);
    let authority = |container: &Container<'_>| {
        let answer = container.exec(&format!("cat {FILES}/authority.pem"));
        answer.must_succeed().stdout.clone()
    };
    assert_eq!(authority(&owner), authority(&member));
    assert!(authority(&member).contains("BEGIN CERTIFICATE"));
    let last = format!(
        "tail -n 20 {FILES}/roots.pem | openssl 2>/dev/null; grep -c BEGIN {FILES}/roots.pem"
    );
    assert_eq!(owner.exec(&last).stdout, member.exec(&last).stdout);
    let path = directory(bed, &member);
    drop(member);
    assert!(!path.exists(), "{path:?}");
}

fn bounded(bed: &Bed) {
    for flags in [
        &["--cap-add", "NET_ADMIN"][..],
        &["--read-only"],
        &["--user", "1000"],
        &["--read-only", "--cap-add", "SYS_ADMIN", "--user", "1000"],
    ] {
        let script =
            format!("{COUNT} {FILES}/authority.pem && curl -sS -m 5 https://allowed.test/");
        let answer = bed.run_with(RUNTIME, flags, &script);
        assert!(answer.must_succeed().stdout.starts_with("1\n"), "{flags:?}");
    }
    // Where nothing can be renamed, what reads the system's list alone trusts the authority, too.
    let list = "cmp /etc/ssl/certs/ca-certificates.crt /dev/boundary/roots.pem";
    bed.run_with(RUNTIME, &["--read-only"], list).must_succeed();
    bed.run_with(RUNTIME, &[], list).must_fail();
}

/// An image that a shell makes of this one.
pub(crate) fn made(bed: &Bed, flags: &[&str], base: &str, script: &str) -> String {
    let (maker, name) = (unique("maker"), unique("image"));
    let run = ["run", "--runtime", "runc", "--name", &maker];
    let what = [base, "sh", "-ec", script];
    bed.docker(&[&run[..], flags, &what].concat())
        .must_succeed();
    bed.docker(&["commit", &maker, &name]).must_succeed();
    bed.docker(&["rm", &maker]).must_succeed();
    name
}

/// One of the bed's.
fn image(bed: &Bed, script: &str) -> String {
    made(bed, &[], IMAGE, script)
}

fn run_image(bed: &Bed, image: &str, script: &str) -> Answer {
    bed.docker(&[
        "run",
        "--rm",
        "--runtime",
        RUNTIME,
        image,
        "sh",
        "-c",
        script,
    ])
}

fn bare(bed: &Bed) {
    let image = image(bed, "rm -r /etc/ssl");
    let count = run_image(bed, &image, &format!("{COUNT} $SSL_CERT_FILE"));
    let hosts = fs::read_to_string(bed.inside("/etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert_eq!(number(&count), hosts.matches("BEGIN CERT").count() + 1);
}

fn hostile(bed: &Bed) {
    let list = "/etc/ssl/certs/ca-certificates.crt";
    for made in [
        "ln -s /../../../../../../../../etc/shadow".to_owned(),
        "ln -s /proc/1/root/etc/shadow".to_owned(),
        "mkfifo".to_owned(),
        "ln -s /dev/zero".to_owned(),
        "truncate -s 100M".to_owned(),
        "mkdir".to_owned(),
    ] {
        let image = image(bed, &format!("rm {list} && {made} {list}"));
        let script = format!("cat {FILES}/roots.pem");
        let said = run_image(bed, &image, &script)
            .must_succeed()
            .stdout
            .clone();
        let hosts = fs::read_to_string(bed.inside("/etc/ssl/certs/ca-certificates.crt")).unwrap();
        let count = hosts.matches("BEGIN CERT").count() + 1;
        assert_eq!(said.matches("BEGIN CERT").count(), count, "{made}");
        assert!(!said.contains("root:"), "{made}");
    }
}

fn bad_extra(bed: &Bed) {
    let answer = bed.run_with("boundary-bad-ca", &[], "true");
    let said = &answer.must_fail().stderr;
    assert!(
        said.contains("extra-ca: /etc/hostname: no certificate in it"),
        "{said}"
    );
}

fn removed(bed: &Bed) {
    let container = start(bed, &[]);
    let path = directory(bed, &container);
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        mode, 0o710,
        "no user of the host gets to what a container writes"
    );
    container.docker("kill").must_succeed();
    container.docker("wait");
    assert!(!path.exists());
    // Of one that never came to be, its maker is gone.
    let left = bed.inside(ON_HOST).join("left");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("maker.json"), r#"{"pid":2147483647,"started":1}"#).unwrap();
    bed.run_with(RUNTIME, &[], "true").must_succeed();
    test_support::command::wait_for("the sweep", || !left.exists());
}

fn clients(bed: &Bed) {
    let client = Client::start(bed, RUNTIME);
    let asks = [
        "curl -sS -m 5 https://allowed.test/".to_owned(),
        // Not the one of the shell.
        "/bin/wget -q -O - -T 5 -t 1 https://allowed.test/".to_owned(),
        "openssl s_client -connect allowed.test:443 -servername allowed.test -verify_return_error </dev/null".to_owned(),
        "python3 -c 'import urllib.request; print(urllib.request.urlopen(\"https://allowed.test/\", timeout=5).read())'".to_owned(),
        "node -e 'fetch(\"https://allowed.test/\").then(r => r.text()).then(console.log, e => { console.log(e.cause); process.exit(1) })'".to_owned(),
        "git -c http.lowSpeedTime=5 ls-remote https://allowed.test/ 2>&1 | tee /tmp/git; ! grep -i certificate /tmp/git".to_owned(),
        format!("{JAVA}/keytool -printcert -sslserver allowed.test:443 >/dev/null; \
                 echo 'public class A {{ public static void main(String[] a) throws Exception {{ new java.net.URL(\"https://allowed.test/\").openStream().close(); }} }}' >/tmp/A.java; \
                 {JAVA}/java /tmp/A.java"),
    ];
    // The image doesn't know the little internet's authority.
    for ask in &asks {
        client.exec(ask).must_fail();
    }
    let authority = fs::read_to_string(bed.path("ca/ca.pem")).unwrap();
    let id = client.id();
    let mut own = directories(bed).into_iter();
    let directory = own
        .find(|path| path.to_string_lossy().contains(&id))
        .unwrap();
    for file in ["files/authority.pem", "files/roots.pem"] {
        let path = directory.join(file);
        let held = fs::read(&path).unwrap();
        fs::write(&path, [&held, authority.as_bytes()].concat()).unwrap();
    }
    let store = directory.join("java-0");
    let (held, ca) = (
        store.display().to_string(),
        bed.path("ca/ca.pem").display().to_string(),
    );
    shell(
        "keytool -importcert -noprompt -alias x -storepass changeit -keystore \"$1\" -file \"$2\" 2>/dev/null",
        &[held.into(), ca.into()],
    );
    for ask in &asks {
        let answer = client.exec(ask);
        assert_eq!(answer.code, 0, "{ask}: {answer:?}");
    }
}

fn commands(bed: &Bed) {
    let own = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -out /usr/local/share/ca-certificates/own.crt -days 9 -subj /CN=own 2>/dev/null";
    let script =
        format!("{own}; update-ca-certificates && update-ca-certificates --fresh && rm -rf /tmp/*");
    let [ours, runcs] = [RUNTIME, "runc"].map(|runtime| {
        let client = Client::start(bed, runtime);
        client.exec(&script).must_succeed();
        let diff = bed
            .docker(&["diff", &client.name])
            .must_succeed()
            .stdout
            .clone();
        let mut lines: Vec<_> = diff.lines().map(str::to_owned).collect();
        lines.sort();
        (client, lines)
    });
    assert_eq!(ours.1, runcs.1);
    // What was added is known, and what was given, too.
    let known = "openssl verify /usr/local/share/ca-certificates/own.crt && openssl verify /dev/boundary/authority.pem";
    ours.0.exec(known).must_succeed();
    // A commit holds what changed, and nothing of ours.
    let image = unique("image");
    bed.docker(&["commit", &ours.0.name, &image]).must_succeed();
    let held = "grep -c BEGIN /etc/ssl/certs/ca-certificates.crt; openssl verify /usr/local/share/ca-certificates/own.crt; env; ls /etc /dev";
    let said = bed.docker(&["run", "--rm", "--runtime", "runc", &image, "sh", "-c", held]);
    let said = &said.must_succeed().stdout;
    assert!(
        said.contains("own.crt: OK") && !said.contains("boundary"),
        "{said}"
    );
    // Java's store is ours, and takes what is imported.
    let import = format!(
        "{JAVA}/keytool -importcert -noprompt -cacerts -storepass changeit -alias own -file /usr/local/share/ca-certificates/own.crt"
    );
    ours.0.exec(&import).must_succeed();
    let list = ours.0.exec(&format!(
        "{JAVA}/keytool -list -cacerts -storepass changeit"
    ));
    let list = &list.must_succeed().stdout;
    assert!(
        list.contains("\nown,") && list.contains("boundary:authority"),
        "{list}"
    );
}
