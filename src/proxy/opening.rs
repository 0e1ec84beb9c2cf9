//! What becomes of a connection's SYN, before anything is said on it. Decides; `held` does it.
//!
//! | what rules and known names say | |
//! |---|---|
//! | nothing that could be said on it is allowed | refused |
//! | rules for its address allow any bytes | its far end is asked |
//! | any protocol may be allowed, in a name that is known for its address or by the address | its far end is asked |
//! | something may be allowed in a name that is known for its address | its far end is asked, unless a connection to that is kept |
//! | only what will be said can decide | accepted |
//!
//! Invariant: what is asked is exactly the address and the port that the client chose, and only
//! where a permit passes that address: it is a name's only while the answer that said so holds.

use std::net::IpAddr;

use super::flow::Flow;
use super::reading::Fits;
use crate::policy::{Denial, Hostname, Permit, Protocol, UpstreamAddr, stands_for_denied};

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Opening {
    /// It is refused, decided about this name.
    Refused(Option<Hostname>, Denial),
    /// It is accepted.
    Accepted,
    /// Its far end is asked.
    Asked(Box<Question>),
}

/// Whom to ask, and on what grounds.
#[derive(Debug)]
pub(super) struct Question {
    /// What may be said on the connection, as far as that can be known.
    pub(super) permit: Permit,
    /// The route of it that leads to the address.
    pub(super) route: Permit,
    /// The client's own choice.
    pub(super) address: UpstreamAddr,
    /// What can still change that it is allowed.
    pub(super) decided_by: DecidedBy,
}

impl Question {
    /// Takes the place of this question's permit with that of the policy in force.
    ///
    /// # Errors
    /// That doesn't ask the same any more.
    pub(super) fn ask_again(&mut self, flow: &Flow) -> Result<(), Denial> {
        match decide(flow) {
            Opening::Asked(now)
                if now.address == self.address
                    && now.decided_by == self.decided_by
                    && now.route.leads_where(&self.route) =>
            {
                *self = *now;
                Ok(())
            }
            Opening::Refused(_, denial) => Err(denial),
            Opening::Asked(_) | Opening::Accepted => {
                Err(Denial::because("its far end is not asked in this name"))
            }
        }
    }
}

/// What a connection that may be allowed is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecidedBy {
    /// Its address: nothing that is said on it.
    Address,
    /// A request or a hello, if one is said; anything else is allowed.
    WhatItNames,
    /// A request or a hello, without which nothing is allowed.
    WhatIsSaid,
}

/// Decides.
pub(super) fn decide(flow: &Flow) -> Opening {
    let address = flow.destination().ip();
    if is_no_hosts(address) {
        let why = format!("{address} is no host's address");
        return Opening::Refused(None, Denial::because(why));
    }
    match flow.fits() {
        Fits::AnyBytes(permit) => any_bytes(flow, *permit),
        // Its client may wait for a server's words, and there is none.
        Fits::AnyProtocol(_) if stands_for_denied(address) => {
            let why = format!("{address} stands for names that are denied");
            Opening::Refused(None, Denial::because(why))
        }
        Fits::AnyProtocol(_) => match flow.decide_unnamed(Protocol::Tcp, None) {
            (_, Ok(permit)) => {
                question(flow, permit, DecidedBy::WhatItNames).map_or_else(|| web(flow), asked)
            }
            (_, Err(_)) => web(flow),
        },
        Fits::Web => web(flow),
    }
}

/// Whether it is an address that nobody can be connected to over a link. (Over the loopback, by which
/// SYNs are sent in again, some could.)
fn is_no_hosts(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    is_broadcast || address.is_unspecified() || address.is_multicast() || address.is_loopback()
}

fn any_bytes(flow: &Flow, permit: Permit) -> Opening {
    let refused = flow.upstream(&permit).err();
    match question(flow, permit, DecidedBy::Address) {
        Some(question) => asked(question),
        None => refused.map_or(Opening::Accepted, |denial| Opening::Refused(None, denial)),
    }
}

/// What its client says decides, and so far its address alone is known.
fn web(flow: &Flow) -> Opening {
    if let Some(question) = in_a_known_name(flow) {
        let name = question.route.name();
        return if flow.has_idle(name, question.address) {
            Opening::Accepted
        } else {
            asked(question)
        };
    }
    match flow.decide_unnamed(Protocol::Tcp, None) {
        (name, Err(denial)) if !flow.may_allow() => Opening::Refused(name, denial),
        _ => Opening::Accepted,
    }
}

fn in_a_known_name(flow: &Flow) -> Option<Question> {
    let mut permits = flow.known_names().into_iter();
    permits.find_map(|name| question(flow, flow.may_allow_in_name(&name)?, DecidedBy::WhatIsSaid))
}

fn question(flow: &Flow, permit: Permit, decided_by: DecidedBy) -> Option<Question> {
    let (route, address) = flow.way_to_chosen(&permit)?;
    Some(Question {
        route: route.alone(),
        permit,
        address,
        decided_by,
    })
}

fn asked(question: Question) -> Opening {
    Opening::Asked(Box::new(question))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::proxy::rig::Rig;

    const HOUR: Duration = Duration::from_secs(3600);

    /// What becomes of a SYN to this end, under these rules, for a container that was told that
    /// 192.0.2.1 is `a.test`, and 10.0.0.1, too. Of what is asked: the name or the address that it
    /// is asked as.
    async fn becomes(allow: &[&str], deny: &[&str], destination: &str) -> String {
        let (rig, _server) = Rig::new(allow, deny).await;
        let name = Hostname::parse("a.test").unwrap();
        for address in ["192.0.2.1", "10.0.0.1"] {
            let address = address.parse().unwrap();
            rig.bench.judge.learned.remember(address, &name, HOUR);
        }
        described(&rig, destination)
    }

    fn described(rig: &Rig, destination: &str) -> String {
        let destination: SocketAddr = destination.parse().unwrap();
        let flow = rig.flow("10.9.9.9:40000".parse().unwrap(), destination);
        match decide(&flow) {
            Opening::Refused(_, denial) => format!("refused: {}", denial.reason),
            Opening::Accepted => "accepted".to_owned(),
            Opening::Asked(question) => {
                assert_eq!(question.address.socket_addr(), destination);
                let named = question.route.name().map(ToString::to_string);
                let as_what = named.unwrap_or_else(|| destination.ip().to_string());
                let decided = match question.decided_by {
                    DecidedBy::Address => ", whatever is said",
                    DecidedBy::WhatItNames => ", unless it names another",
                    DecidedBy::WhatIsSaid => "",
                };
                format!("asked as {as_what}{decided}")
            }
        }
    }

    #[tokio::test]
    async fn where_rules_for_the_address_decide_its_far_end_is_asked() {
        for (allow, deny, expected) in [
            (
                &["cidr=192.0.2.0/24"][..],
                &[][..],
                "asked as 192.0.2.1, whatever is said",
            ),
            (
                &["cidr=192.0.2.0/24"],
                &["domain=evil.test"],
                "asked as 192.0.2.1, unless it names another",
            ),
            (
                &["domain=a.test proto=tcp port=9000"],
                &[],
                "asked as a.test, unless it names another",
            ),
            (&["domain=b.test proto=tcp port=9000"], &[], "accepted"),
            (
                &["domain=b.test proto=tcp port=9000", "cidr=192.0.2.0/24"],
                &[],
                "asked as 192.0.2.1, whatever is said",
            ),
        ] {
            assert_eq!(
                becomes(allow, deny, "192.0.2.1:9000").await,
                expected,
                "{allow:?} {deny:?}"
            );
        }
    }

    #[tokio::test]
    async fn on_the_webs_ports_a_name_that_is_known_for_the_address_is_asked() {
        for (allow, deny, expected) in [
            (&["domain=a.test"][..], &[][..], "asked as a.test"),
            (
                &["domain=a.test method=GET path=/x"],
                &[],
                "asked as a.test",
            ),
            (&["domain=a.test"], &["method=POST"], "asked as a.test"),
            (&["domain=a.test"], &["domain=a.test"], "accepted"),
            (&["domain=b.test"], &[], "accepted"),
            (&[], &[], "accepted"),
            (&["domain=a.test port=8080"], &[], "accepted"),
        ] {
            for port in [80, 443] {
                let end = format!("192.0.2.1:{port}");
                assert_eq!(
                    becomes(allow, deny, &end).await,
                    expected,
                    "{allow:?} {deny:?}"
                );
            }
        }
        let elsewhere = becomes(&["domain=a.test"], &[], "192.0.2.2:443").await;
        assert_eq!(elsewhere, "accepted", "nobody knows a name for it");
        let private = becomes(&["domain=a.test"], &[], "10.0.0.1:443").await;
        assert_eq!(private, "accepted", "no rule opens it");
        let opened = becomes(&["domain=a.test cidr=10.0.0.0/8"], &[], "10.0.0.1:443").await;
        assert_eq!(opened, "asked as a.test");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_a_names_only_while_the_answer_holds() {
        let (rig, _server) = Rig::new(&["domain=a.test"], &[]).await;
        let (name, address) = (Hostname::parse("a.test").unwrap(), "192.0.2.1");
        let judge = &rig.bench.judge;
        judge
            .learned
            .remember(address.parse().unwrap(), &name, HOUR);
        assert_eq!(described(&rig, "192.0.2.1:443"), "asked as a.test");
        tokio::time::advance(HOUR + Duration::from_secs(61)).await;
        assert_eq!(described(&rig, "192.0.2.1:443"), "accepted");
    }

    /// Whoever starts a container could else have any address taken for an allowed name's.
    #[tokio::test]
    async fn an_address_by_add_host_is_a_names_only_where_a_rule_names_it() {
        for (allow, expected) in [
            (&["domain=given.test"][..], "accepted"),
            (
                &["domain=given.test", "domain=a.test cidr=192.0.2.0/24"],
                "accepted",
            ),
            (
                &["domain=given.test cidr=192.0.2.5/32"],
                "asked as given.test",
            ),
            (
                &["domain=given.test", "cidr=192.0.2.5/32 port=443"],
                "asked as 192.0.2.5, whatever is said",
            ),
        ] {
            let (mut rig, _server) = Rig::new(allow, &[]).await;
            let name = Hostname::parse("given.test").unwrap();
            rig.bench.judge.given = std::sync::Arc::new(crate::policy::GivenNames {
                hosts: vec![(name, "192.0.2.5".parse().unwrap())],
                ..Default::default()
            });
            assert_eq!(described(&rig, "192.0.2.5:443"), expected, "{allow:?}");
        }
    }

    #[tokio::test]
    async fn what_no_rule_could_allow_is_refused() {
        let all_of_one = "cidr=192.0.2.7/32";
        for (allow, deny, destination, refused) in [
            (&[all_of_one][..], &[][..], "192.0.2.1:22", true),
            (&[all_of_one], &[], "192.0.2.1:443", false),
            (
                &[all_of_one, "domain=b.test port=22"],
                &[],
                "192.0.2.1:22",
                false,
            ),
            (&["cidr=0.0.0.0/0"], &[], "169.254.169.254:5000", true),
            (&["cidr=0.0.0.0/0"], &["port=22"], "192.0.2.1:22", true),
            (
                &["cidr=0.0.0.0/0"],
                &["cidr=192.0.2.0/24"],
                "192.0.2.1:22",
                true,
            ),
            (
                &["cidr=0.0.0.0/0", "domain=* port=22"],
                &["cidr=192.0.2.0/24"],
                "192.0.2.1:22",
                false,
            ),
            (&["domain=* port=22"], &["port=22"], "192.0.2.1:22", true),
            (
                &["domain=* port=22"],
                &["port=22 domain=c.test"],
                "192.0.2.1:22",
                false,
            ),
        ] {
            let becomes = becomes(allow, deny, destination).await;
            assert_eq!(
                becomes.starts_with("refused"),
                refused,
                "{allow:?} {deny:?}: {becomes}"
            );
        }
    }

    /// One rule for any protocol, in whatever name, makes no request of another name's one.
    #[tokio::test]
    async fn a_rule_for_anothers_bytes_says_nothing_of_a_name_whose_requests_are_read() {
        let rules = &[
            "domain=a.test method=GET path=/x",
            "domain=b.test proto=tcp port=80",
        ];
        assert_eq!(becomes(rules, &[], "192.0.2.1:80").await, "asked as a.test");
    }

    /// Nobody is dialled for a byte that could not be allowed.
    #[tokio::test]
    async fn special_ranges_and_our_own_addresses_are_never_asked() {
        let everything = &["cidr=0.0.0.0/0", "cidr=::/0"];
        for special in [
            "127.0.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "[::1]",
            "[fe80::1]",
            "[ff02::1]",
        ] {
            for port in [80, 443, 5000] {
                let becomes = becomes(everything, &[], &format!("{special}:{port}")).await;
                let is_metadata = special == "169.254.169.254" || special == "[fe80::1]";
                let refused = port == 5000 || !is_metadata;
                assert_eq!(
                    becomes.starts_with("refused"),
                    refused,
                    "{special}: {becomes}"
                );
                assert!(!becomes.starts_with("asked"), "{special}: {becomes}");
            }
        }
        // A client there may wait for words.
        let by_name = &["domain=a.test proto=tcp port=5000"];
        for destination in ["192.0.0.8:5000", "[100::8]:5000"] {
            let becomes = becomes(by_name, &[], destination).await;
            assert!(
                becomes.contains("stands for names that are denied"),
                "{becomes}"
            );
        }
        assert_eq!(becomes(by_name, &[], "192.0.0.8:443").await, "accepted");
        let (rig, _server) = Rig::new(everything, &[]).await;
        rig.bench.egress.learn(crate::proxy::Interfaces {
            own: vec!["192.0.2.1".parse().unwrap()],
            ..Default::default()
        });
        assert!(described(&rig, "192.0.2.1:5000").starts_with("refused"));
    }
}
