//! What is read of an image, and what isn't.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::sys::file;

fn root(name: &str) -> CertificateDer<'static> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    parameters.self_signed(&key).unwrap().der().clone()
}

/// A bundle with a root, in which a file stands.
fn bundle(path: &str, content: &[u8]) -> tempfile::TempDir {
    let bundle = tempfile::tempdir().unwrap();
    put(bundle.path(), &format!("rootfs{path}"), content);
    bundle
}

fn put(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    file::replace(&path, content, 0o600).unwrap();
}

fn image(bundle: &Path, mounts: Value) -> Image {
    let spec = Spec::check(json!({"root": {"path": "rootfs"}, "mounts": mounts})).unwrap();
    Image::open(&spec, bundle).unwrap()
}

#[test]
fn what_a_mount_covers_is_read_from_its_source() {
    let (own, mounted) = (root("own"), root("mounted"));
    let pem = |root: &CertificateDer<'_>| certificates::to_pem(std::slice::from_ref(root));
    let bundle = bundle(LISTS[0], pem(&own).as_bytes());
    put(
        bundle.path(),
        "given/ca-certificates.crt",
        pem(&mounted).as_bytes(),
    );
    let bind = |destination: &str, source: &str| json!({"destination": destination, "source": source, "options": ["rbind"]});
    for (mounts, expected) in [
        (json!([]), vec![own.clone()]),
        (
            json!([bind("/etc/ssl/certs", "given")]),
            vec![mounted.clone()],
        ),
        (
            json!([
                bind("/etc/ssl", "x"),
                bind(LISTS[0], "given/ca-certificates.crt")
            ]),
            vec![mounted],
        ),
        (
            json!([{"destination": "/etc/ssl", "type": "tmpfs"}]),
            vec![],
        ),
        (json!([bind("/etc/ssl/cert", "given")]), vec![own]),
    ] {
        let mut image = image(bundle.path(), mounts.clone());
        assert_eq!(image.certificates(LISTS[0]), expected, "{mounts}");
        assert_eq!(image.notices, [""; 0]);
    }
}

#[test]
fn a_link_into_a_mount_leads_there() {
    let mounted = root("mounted");
    let bundle = bundle("/etc/x", b"");
    symlink("/volume/list", bundle.path().join("rootfs/etc/list")).unwrap();
    put(bundle.path(), "rootfs/volume/list", b"covered");
    let text = certificates::to_pem(std::slice::from_ref(&mounted));
    put(bundle.path(), "given/list", text.as_bytes());
    let mounts = json!([{"destination": "/volume", "source": "given", "options": ["bind"]}]);
    assert_eq!(
        image(bundle.path(), mounts).certificates("/etc/list"),
        [mounted]
    );
}

#[test]
fn what_cannot_be_read_is_said() {
    let bundle = bundle("/etc/x", b"");
    let path = bundle.path().join("rootfs/huge");
    fs::File::create(path)
        .unwrap()
        .set_len(STORE_LIMIT + 1)
        .unwrap();
    let mut image = image(bundle.path(), json!([]));
    assert_eq!(image.certificates("/huge"), []);
    assert_eq!(image.certificates("/absent"), []);
    assert_eq!(
        image.notices,
        ["the image's /huge is not read for roots: larger than 10485760 bytes"]
    );
}

#[test]
fn every_java_is_found_once_and_what_it_trusts_is_kept() {
    let own = root("own");
    let entry = jks::Entry {
        alias: "debian:own".to_owned(),
        created: 3,
        certificate: own.clone(),
    };
    let bundle = bundle(
        "/etc/ssl/certs/java/cacerts",
        &jks::write(std::slice::from_ref(&entry)),
    );
    for java in [
        "usr/lib/jvm/17",
        "usr/lib/jvm/21",
        "opt/java/openjdk/jre",
        "home/java",
    ] {
        let folder = bundle.path().join("rootfs").join(java).join("lib/security");
        fs::create_dir_all(&folder).unwrap();
        let store = folder.join("cacerts");
        match java {
            "home/java" => file::replace(&store, b"\x30 nobody can read", 0o600).unwrap(),
            _ => symlink("/etc/ssl/certs/java/cacerts", store).unwrap(),
        }
    }
    let mut image = image(bundle.path(), json!([]));
    let found = image.java(Some(Path::new("/home/java")));
    let paths: Vec<_> = found
        .iter()
        .map(|store| store.path.to_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/home/java/lib/security/cacerts",
            "/etc/ssl/certs/java/cacerts"
        ]
    );
    assert_eq!(found[0].entries, []);
    assert_eq!(found[1].entries, [entry]);
}

/// Its file could be read by somebody who may not read what it was made of.
#[test]
fn nothing_goes_into_the_settings_of_wget_but_the_images_own() {
    let secret = "proxy_password = secret";
    let given = tempfile::tempdir().unwrap();
    put(given.path(), "secret", secret.as_bytes());
    let read = |mode: u32, link: Option<&str>, mounts: Value| {
        let bundle = bundle("/etc/wgetrc", secret.as_bytes());
        let path = bundle.path().join("rootfs/etc/wgetrc");
        put(bundle.path(), "rootfs/etc/real", secret.as_bytes());
        for name in ["wgetrc", "real"] {
            let path = path.with_file_name(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        if let Some(target) = link {
            fs::remove_file(&path).unwrap();
            symlink(target, &path).unwrap();
        }
        let text = image(bundle.path(), mounts).read("/etc/wgetrc", WGETRC_LIMIT);
        text.is_some()
    };
    let at = |destination: &str| json!([{"destination": destination, "source": given.path(), "options": ["bind"]}]);
    fs::set_permissions(
        given.path().join("secret"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    assert!(read(0o644, None, json!([])));
    assert!(!read(0o600, None, json!([])));
    assert!(!read(0o644, Some("/etc/real"), json!([])));
    assert!(!read(0o644, Some("/host/secret"), at("/host")));
    let file = json!([{"destination": "/etc/wgetrc", "source": given.path().join("secret"), "options": ["bind"]}]);
    assert!(!read(0o644, None, file));
}

#[test]
fn a_link_to_what_is_no_store_has_nothing_covered_and_links_are_followed_to_a_limit() {
    let bundle = bundle("/etc/passwd", b"root:x:0:0::/:/bin/sh\n");
    for number in 0..100 {
        let name = format!("rootfs/usr/lib/jvm/{number}/lib/security/cacerts");
        put(bundle.path(), &name, b"no store");
    }
    let home = bundle.path().join("rootfs/home/lib/security");
    fs::create_dir_all(&home).unwrap();
    symlink("/etc/passwd", home.join("cacerts")).unwrap();
    let mut image = image(bundle.path(), json!([]));
    assert!(image.java(Some(Path::new("/home"))).is_empty());
    assert_eq!(
        image.notices[0],
        "the image's /etc/passwd is no store of Java's"
    );
    assert_eq!(image.notices.len(), 64);
}

#[test]
fn a_java_store_that_the_system_replaces_is_left_alone() {
    let path = "/etc/pki/ca-trust/extracted/java/cacerts";
    let bundle = bundle(path, &jks::write(&[]));
    let folder = bundle.path().join("rootfs/usr/lib/jvm/21/lib/security");
    fs::create_dir_all(&folder).unwrap();
    symlink(path, folder.join("cacerts")).unwrap();
    let mut image = image(bundle.path(), json!([]));
    assert!(image.java(None).is_empty());
    assert!(image.notices[0].contains(path), "{:?}", image.notices);
}

#[test]
fn a_file_of_extra_ca_must_hold_certificates() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "empty", b"nothing");
    put(
        folder.path(),
        "good",
        certificates::to_pem(&[root("a")]).as_bytes(),
    );
    let said = |name: &str| extra(&folder.path().join(name)).map_err(|error| format!("{error:#}"));
    assert!(said("good").is_ok());
    assert!(
        said("empty")
            .unwrap_err()
            .ends_with("/empty: no certificate in it (expected PEM)")
    );
    assert!(
        said("absent")
            .unwrap_err()
            .ends_with("/absent: does not exist")
    );
}
