//! What maintains a system's roots, in a container that trusts its gateway: it changes the image as with
//! runc, what it adds is known, and so is the gateway still.

use std::path::PathBuf;

use test_support::bed::{Bed, unique};
use test_support::command::shell;
use test_support::harness::Test;

use crate::clients;
use crate::trust::made;

pub(crate) const TESTS: &[Test] = &[
    ("alpines_way_works_as_with_runc", alpine),
    ("fedoras_way_works_as_with_runc", fedora),
];
/// These need the system that scripts/newer-docker makes.
pub(crate) const NEWER_DEBIAN: &[Test] = &[(
    "debians_newest_commands_and_a_reinstallation_work_as_with_runc",
    debian,
)];

const RUNTIME: &str = "boundary-trust";

/// Where the newer system is.
pub(crate) fn newer_debian() -> PathBuf {
    let set = std::env::var_os("BOUNDARY_NEWER_DOCKER");
    set.map_or_else(|| "/var/lib/boundary-testbed/sid".into(), PathBuf::from)
}

/// An authority that somebody adds.
const OWN: &str = "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -days 9 -subj /CN=own 2>/dev/null -out";

/// Runs a script in a container of an image, with ours and with runc: it changes the same files. `known`
/// has to succeed in ours afterwards, and `kept` under runc in an image that is made of it.
#[track_caller]
fn changes_as_with_runc(
    bed: &Bed,
    flags: &[&str],
    image: &str,
    script: &str,
    known: &str,
    kept: &str,
) {
    let [runcs, ours] = ["runc", RUNTIME].map(|runtime| {
        let name = unique("system");
        let run = ["run", "--detach", "--runtime", runtime, "--name", &name];
        bed.docker(&[&run[..], flags, &[image, "sleep", "600"]].concat())
            .must_succeed();
        let script = ["exec", &name, "sh", "-ec", script];
        bed.docker_within(120, &script).must_succeed();
        let diff = bed.docker(&["diff", &name]).must_succeed().stdout.clone();
        let mut lines: Vec<_> = diff.lines().map(str::to_owned).collect();
        lines.sort();
        (name, lines)
    });
    assert!(!runcs.1.is_empty());
    assert_eq!(ours.1, runcs.1);
    bed.docker(&["exec", &ours.0, "sh", "-ec", known])
        .must_succeed();
    let made = unique("image");
    bed.docker(&["commit", &ours.0, &made]).must_succeed();
    let nothing = format!("! env | grep -i boundary && ! ls /dev /etc | grep boundary && {kept}");
    let run = ["run", "--rm", "--runtime", "runc"];
    bed.docker(&[&run[..], flags, &[&made, "sh", "-ec", &nothing]].concat())
        .must_succeed();
    bed.docker(&["rm", "--force", &ours.0, &runcs.0]);
}

/// A package of what is installed, as dpkg-repack(1) makes one: there is no mirror here.
const REINSTALL: &str = "export DEBIAN_FRONTEND=noninteractive; mkdir -p /tmp/deb/DEBIAN; cd /tmp/deb
    dpkg -L ca-certificates | while read -r path; do [ ! -f \"$path\" ] || cp --parents -a \"$path\" .; done
    dpkg -s ca-certificates | grep -v -e ^Status: -e '^Conffiles:' -e '^ /' >DEBIAN/control
    for part in postinst postrm prerm config templates triggers; do
        [ ! -e /var/lib/dpkg/info/ca-certificates.$part ] || cp /var/lib/dpkg/info/ca-certificates.$part DEBIAN/$part
    done
    dpkg-deb --build /tmp/deb /tmp/own.deb; apt-get install --yes --allow-downgrades --reinstall /tmp/own.deb; rm -rf /tmp/*\n";

fn debian(bed: &Bed) {
    let image = unique("debian");
    let script = "tar -C \"$1\" -c --exclude ./dev --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/locale \
            --exclude './usr/*bin/*docker*' --exclude './usr/bin/*containerd*' --exclude ./usr/bin/podman --exclude ./usr/lib/podman . |
        docker --host \"unix://$2\" import - \"$3\" >/dev/null";
    shell(
        script,
        &[
            newer_debian(),
            bed.path("docker.sock"),
            image.clone().into(),
        ],
    );
    let own = "/usr/local/share/ca-certificates/own.crt";
    let script = format!(
        "{REINSTALL} {OWN} {own}; update-ca-certificates; update-ca-certificates --fresh; rm -rf /tmp/*"
    );
    let known = format!(
        "openssl verify {own}; openssl verify /dev/boundary/authority.pem
        grep -q \"$(sed -n 2p {own})\" /etc/ssl/certs/ca-certificates.crt"
    );
    let kept = format!("openssl verify {own}");
    changes_as_with_runc(bed, &[], &image, &script, &known, &kept);
    bed.docker(&["rmi", "--force", &image]);
}

/// Alpine's program, which is written in C, does this: a list beside the old one, which is renamed over
/// it, links, and hashes of them. apk renames its files in the same way. Its files are old: `docker diff` takes
/// what is made anew within the same second for unchanged.
const ALPINE: &str = "cat >/usr/sbin/update-ca-certificates <<'END'
#!/bin/sh -e
cd /etc/ssl/certs
list=$(mktemp bundleXXXXXX); chmod 644 $list
for path in $(grep -v '^[#!]' /etc/ca-certificates.conf | sed s.^./usr/share/ca-certificates/.) /usr/local/share/ca-certificates/*; do
    [ -f $path ] || continue
    cat $path >>$list; echo >>$list
    link=ca-cert-$(basename $path .crt).pem; rm -f $link; ln -s $path $link
done
mv $list ca-certificates.crt
openssl rehash .
END
    rm -rf /etc/ssl/certs /usr/lib/jvm; mkdir /etc/ssl/certs; ln -s certs/ca-certificates.crt /etc/ssl/cert.pem; update-ca-certificates
    touch -hd @1000000000 /etc/ssl/certs/*\n";

fn alpine(bed: &Bed) {
    let image = made(bed, &[], clients::image(bed), ALPINE);
    let own = "/usr/local/share/ca-certificates/own.crt";
    let script = format!(
        "{OWN} {own}; update-ca-certificates; cd /etc/ssl/certs; cp ca-certificates.crt .apk.0123; mv .apk.0123 ca-certificates.crt"
    );
    let known = format!(
        "openssl verify {own}; openssl verify /dev/boundary/authority.pem
        grep -q \"$(sed -n 2p {own})\" /etc/ssl/cert.pem"
    );
    changes_as_with_runc(
        bed,
        &[],
        &image,
        &script,
        &known,
        &format!("openssl verify {own}"),
    );
}

/// What Fedora's `update-ca-trust` has p11-kit do, in Fedora's folders.
const FEDORA: &str = "rm -rf /etc/ssl/certs /usr/lib/jvm
    mkdir -p /etc/pki/ca-trust/extracted/openssl /etc/pki/ca-trust/extracted/pem /etc/pki/ca-trust/source/anchors \
        /etc/pki/tls/certs /usr/share/pki/ca-trust-source/anchors /etc/pkcs11/modules
    ln -s /etc/pki/tls/certs /etc/ssl/certs
    for link in /etc/pki/tls/cert.pem /etc/pki/tls/certs/ca-bundle.crt /etc/pki/tls/certs/ca-certificates.crt; do
        ln -s /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem $link
    done
    find /usr/share/ca-certificates -name '*.crt' -exec cat {} + >/usr/share/pki/ca-trust-source/anchors/roots.pem
    echo \"module: p11-kit-trust.so
trust-policy: yes
x-init-reserved: paths='/usr/share/pki/ca-trust-source:/etc/pki/ca-trust/source'\" >/etc/pkcs11/modules/p11-kit-trust.module
    cat >/bin/update-ca-trust <<'END'
#!/bin/sh -e
cd /etc/pki/ca-trust/extracted
trust extract --format=openssl-bundle --filter=certificates --overwrite --comment openssl/ca-bundle.trust.crt
trust extract --format=pem-bundle --filter=ca-anchors --overwrite --comment --purpose server-auth pem/tls-ca-bundle.pem
trust extract --format=pem-directory-hash --filter=ca-anchors --overwrite --purpose server-auth pem/directory-hash
END
    chmod 755 /bin/update-ca-trust; update-ca-trust\n";

fn fedora(bed: &Bed) {
    let flags = [
        "-v",
        "/machine/usr/bin/trust:/usr/bin/trust:ro",
        "-v",
        "/machine/usr/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:ro",
    ];
    let image = made(bed, &flags, clients::image(bed), FEDORA);
    let own = "/etc/pki/ca-trust/source/anchors/own.crt";
    let script = format!("{OWN} {own}; update-ca-trust");
    // The folder has no links by hash: by itself, openssl knows what its variable names.
    let known = format!(
        "openssl verify -CAfile /etc/pki/tls/cert.pem {own}; openssl verify /dev/boundary/authority.pem
        openssl verify \"$(find /usr/share/ca-certificates -name '*.crt' | head -n 1)\""
    );
    let kept = format!("openssl verify -CAfile /etc/pki/tls/cert.pem {own}");
    changes_as_with_runc(bed, &flags, &image, &script, &known, &kept);
}
