//! Who is asked about every attempt: the policy, with the names that the container had resolved or
//! was given by its engine, and the record that an attempt begins with.

use std::net::IpAddr;
use std::sync::Arc;

use super::dns::Learned;
use super::egress::Egress;
use super::in_force::{Footing, InForce};
use super::opaque;
use crate::audit::{Entry, Journal, Subject};
use crate::policy::{
    Attempt, Denial, GivenNames, Hostname, Permit, Policy, Verdict, is_public, own_denial,
};

/// One gateway's. Clones share all of it.
#[derive(Debug, Clone)]
pub struct Judge {
    /// The rules.
    pub(super) in_force: InForce,
    /// What the container resolved.
    pub learned: Arc<Learned>,
    /// What its engine told it about names.
    pub given: Arc<GivenNames>,
    /// Knows which addresses are never dialled.
    pub(super) egress: Arc<Egress>,
    /// The record.
    pub journal: Journal,
}

impl Judge {
    /// The rules that are in force now.
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.in_force.policy()
    }

    /// What a flow stands on that is decided now.
    pub(super) fn footing(&self) -> Footing {
        self.in_force.footing()
    }

    /// Begins the record of an attempt.
    pub(super) fn begin(&self, subject: Subject) -> Entry {
        self.journal.begin(subject)
    }

    /// Decides one attempt: the only way to a permit.
    pub(super) fn decide(&self, attempt: &Attempt<'_>) -> Result<Permit, Denial> {
        let address = attempt.destination.ip().to_canonical();
        let never = own_denial(address, &self.egress.interfaces().own);
        if let (Some(denial), None) = (&never, attempt.name) {
            return Err(denial.clone());
        }
        let has_it_given = attempt
            .name
            .is_some_and(|name| self.given.addresses_of(name).any(|given| given == address));
        match self.policy().decide(attempt) {
            Verdict::Allow(permit) if has_it_given => Ok(permit.at(address)),
            Verdict::Allow(permit) => Ok(permit),
            Verdict::Deny(denial) if has_it_given || self.needs_address(attempt) => {
                Err(match never {
                    Some(_) => denial.for_good(),
                    None => denial.at(address),
                })
            }
            Verdict::Deny(denial) => Err(denial),
        }
    }

    /// Whether a rule for the attempt's name has to name the address, too: where that is private,
    /// and the name's by what the container resolved. Without it the next denial would ask for it.
    fn needs_address(&self, attempt: &Attempt<'_>) -> bool {
        let address = attempt.destination.ip().to_canonical();
        let is_its = |name: &Hostname| self.names_of(address).contains(name);
        !is_public(address) && attempt.name.is_some_and(is_its)
    }

    /// The name that a `Host` or a server name on a connection to `destination` means: the full
    /// name, where the container resolved that to this very address and its search list makes it of
    /// `said`; else what was said. What is meant is judged, resolved and dialled in its place.
    ///
    /// What was said stands where it is itself a name of this address, and where a rule denies it
    /// something that the full name may have.
    pub(super) fn meant(&self, said: &Hostname, destination: IpAddr) -> Hostname {
        if self.given.search.is_empty() {
            return said.clone();
        }
        let names = self.names_of(destination);
        if names.contains(said) || self.given.addresses_of(said).next().is_some() {
            return said.clone();
        }
        let policy = self.policy();
        names
            .into_iter()
            .find(|full| self.given.completes(said, full) && !policy.denies_more_to(said, full))
            .unwrap_or_else(|| said.clone())
    }

    /// Decides about what names nobody: in the names that the container resolved to the address or
    /// was given for it, else about the address. Gives the name decided about, too.
    pub(super) fn decide_unnamed(
        &self,
        attempt: Attempt<'_>,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        self.decide_unnamed_as(attempt, None)
    }

    /// The same of a flow that was let pass in this name: that is the address's for as long as it
    /// lasts, whether or not the answer that said so still holds.
    pub(super) fn decide_unnamed_as(
        &self,
        attempt: Attempt<'_>,
        as_before: Option<&Hostname>,
    ) -> (Option<Hostname>, Result<Permit, Denial>) {
        let address = attempt.destination.ip().to_canonical();
        let mut learned = self.names_of(attempt.destination.ip());
        let is_given = |name: &Hostname| self.given.names_of(address).any(|given| given == name);
        let unheard = as_before.filter(|name| !learned.contains(name) && !is_given(name));
        if let Some(name) = unheard.cloned() {
            learned.insert(0, name);
        }
        // A name that it was given counts only where a rule names the address, too: whoever starts
        // a container could else have any address taken for any name.
        let given = self.given.names_of(address).cloned();
        let names: Vec<_> = learned.iter().cloned().chain(given).collect();
        let (name, permit) = opaque::decide(&names, |name| {
            let permit = self.decide(&Attempt { name, ..attempt })?;
            match permit.name() {
                Some(name) if !learned.contains(name) => permit.names(address).map(|()| permit),
                _ => Ok(permit),
            }
        });
        (name.cloned(), permit)
    }

    /// The names that the container was told this address for, the latest first.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Hostname> {
        self.learned.names_of(address)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::policy::{Mode, PolicySource, Protocol};
    use crate::proxy::bench::Bench;

    const SERVER: &str = "192.0.2.1";

    fn name(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn server() -> IpAddr {
        SERVER.parse().unwrap()
    }

    /// One with these rules, whose container resolved these names to [`SERVER`].
    fn bench(allow: &[&str], deny: &[&str], learned: &[&str]) -> Bench {
        let mut bench = Bench::within(1 << 20, allow, deny, Vec::new());
        bench.judge.given = Arc::new(GivenNames {
            search: vec![name("ok.test"), name("svc.cluster.local")],
            hosts: vec![(name("host.test"), server())],
        });
        for text in learned {
            bench
                .judge
                .learned
                .remember(server(), &name(text), Duration::from_secs(60));
        }
        bench
    }

    fn decided(
        bench: &Bench,
        protocol: Protocol,
        said: Option<&str>,
        port: u16,
    ) -> Result<Permit, Denial> {
        let meant = said.map(|said| bench.judge.meant(&name(said), server()));
        bench.judge.decide(&Attempt {
            protocol,
            name: meant.as_ref(),
            destination: SocketAddr::new(server(), port),
            method: None,
            path: None,
        })
    }

    #[tokio::test]
    async fn a_short_name_means_what_the_container_resolved_to_this_very_address() {
        let bench = bench(&[], &[], &["web.ok.test", "api.shop.svc.cluster.local"]);
        let meant = |said: &str| bench.judge.meant(&name(said), server()).to_string();
        assert_eq!(meant("web"), "web.ok.test");
        assert_eq!(meant("api.shop"), "api.shop.svc.cluster.local");
        assert_eq!(meant("api"), "api");
        assert_eq!(meant("web.ok.test"), "web.ok.test");
        let elsewhere = "192.0.2.2".parse().unwrap();
        assert_eq!(bench.judge.meant(&name("web"), elsewhere), name("web"));
    }

    #[tokio::test]
    async fn a_name_that_is_known_for_the_address_stands_as_it_is() {
        let bench = bench(
            &[],
            &[],
            &["web", "web.ok.test", "host.test.svc.cluster.local"],
        );
        let meant = |said: &str| bench.judge.meant(&name(said), server());
        assert_eq!(meant("web"), name("web"));
        assert_eq!(meant("host.test"), name("host.test"), "by --add-host");
    }

    /// A zone may answer for every name below it, from servers that it shares with others.
    #[tokio::test]
    async fn nobody_elses_name_is_said_in_an_allowed_ones_place() {
        let bench = bench(&["domain=*.ok.test"], &[], &["denied.test.ok.test"]);
        for protocol in [Protocol::Http, Protocol::Https] {
            let port = if protocol == Protocol::Http { 80 } else { 443 };
            let denial = decided(&bench, protocol, Some("denied.test"), port).unwrap_err();
            assert_eq!(denial.suggestion.as_deref(), Some("domain=denied.test"));
        }
    }

    #[tokio::test]
    async fn the_full_name_is_what_is_judged_and_permitted() {
        for (allow, deny, expected) in [
            (&["domain=*.ok.test"][..], &[][..], Ok("web.ok.test")),
            (&[], &[], Err("domain=web.ok.test")),
            (&["domain=web"], &[], Err("domain=web.ok.test")),
        ] {
            let bench = bench(allow, deny, &["web.ok.test"]);
            let verdict = decided(&bench, Protocol::Http, Some("web"), 80);
            let target = verdict
                .as_ref()
                .map(|permit| permit.name().unwrap().as_str());
            let suggested = target.map_err(|denial| denial.suggestion.as_deref().unwrap());
            assert_eq!(suggested, expected, "{allow:?} {deny:?}");
        }
    }

    #[tokio::test]
    async fn what_is_denied_to_either_name_is_denied() {
        for deny in ["domain=web", "domain=web.ok.test", "domain=web port=80"] {
            let bench = bench(&["domain=*.ok.test"], &[deny], &["web.ok.test"]);
            let verdict = decided(&bench, Protocol::Http, Some("web"), 80);
            assert_eq!(verdict.unwrap_err().rule.as_deref(), Some(deny));
        }
        // What holds for both is judged by the full name.
        let bench = bench(&["domain=*.ok.test"], &["method=POST"], &["web.ok.test"]);
        assert!(decided(&bench, Protocol::Https, Some("web"), 443).is_err());
        assert_eq!(
            bench.judge.meant(&name("web"), server()),
            name("web.ok.test")
        );
    }

    /// What is decided about opaque bytes to [`SERVER`] at port 9000.
    fn opaque(allow: &[&str], deny: &[&str]) -> (Option<String>, Result<(), Option<String>>) {
        let destination = SocketAddr::new(server(), 9000);
        let bench = bench(allow, deny, &[]);
        let (name, permit) = bench.judge.decide_unnamed(Attempt {
            protocol: Protocol::Tcp,
            name: None,
            destination,
            method: None,
            path: None,
        });
        (
            name.map(String::from),
            permit.map(drop).map_err(|denial| denial.suggestion),
        )
    }

    #[tokio::test]
    async fn a_name_by_add_host_counts_for_opaque_bytes_only_under_a_rule_that_names_the_address() {
        let host = Some("host.test".to_owned());
        let suggested = "proto=tcp domain=host.test port=9000 cidr=192.0.2.1/32";
        let by_name = "domain=host.test proto=tcp port=9000";
        assert_eq!(
            opaque(
                &["domain=host.test proto=tcp port=9000 cidr=192.0.2.0/24"],
                &[]
            ),
            (host.clone(), Ok(()))
        );
        for allow in [
            &[][..],
            &[by_name],
            &[by_name, "cidr=198.51.100.0/24 port=9000"],
        ] {
            let denied = (host.clone(), Err(Some(suggested.to_owned())));
            assert_eq!(opaque(allow, &[]), denied, "{allow:?}");
        }
        assert_eq!(opaque(&[suggested], &[]), (host.clone(), Ok(())));
        // The address alone needs no name.
        assert_eq!(opaque(&["cidr=192.0.2.1/32"], &[]), (None, Ok(())));
        assert_eq!(
            opaque(&["cidr=192.0.2.1/32"], &["domain=host.test"]),
            (host, Err(None))
        );
    }

    /// Every way of calling a service, under the one rule that is for it; and what is suggested
    /// without one is that rule.
    #[tokio::test]
    async fn a_service_is_reached_by_every_spelling_under_one_rule() {
        const FULL: &str = "web.shop.svc.cluster.local";
        let service: IpAddr = "10.1.2.20".parse().unwrap();
        let reached = |allow: &[&str], said: Option<&str>, port: u16| {
            let mut bench = Bench::new(allow, Vec::new());
            let search = [
                "shop.svc.cluster.local",
                "svc.cluster.local",
                "cluster.local",
            ];
            bench.judge.given = Arc::new(GivenNames {
                search: search.map(name).to_vec(),
                hosts: Vec::new(),
            });
            bench
                .judge
                .learned
                .remember(service, &name(FULL), Duration::from_secs(60));
            let attempt = Attempt {
                protocol: if said.is_some() {
                    Protocol::Http
                } else {
                    Protocol::Tcp
                },
                name: None,
                destination: SocketAddr::new(service, port),
                method: None,
                path: None,
            };
            let verdict = match said {
                Some(said) => {
                    let meant = bench.judge.meant(&name(said), service);
                    bench.judge.decide(&Attempt {
                        name: Some(&meant),
                        ..attempt
                    })
                }
                None => bench.judge.decide_unnamed(attempt).1,
            };
            verdict.and_then(|permit| permit.upstream(service, &[]).map(drop))
        };
        for said in ["web", "web.shop", "web.shop.svc", FULL] {
            for rule in [
                "domain=web.shop.svc.cluster.local cidr=10.1.2.0/24",
                "domain=*.svc.cluster.local cidr=10.1.2.0/24",
            ] {
                assert_eq!(reached(&[rule], Some(said), 80), Ok(()), "{said} {rule}");
                // The rules that were once suggested take nothing away.
                assert_eq!(reached(&[rule, "domain=web"], Some(said), 80), Ok(()));
            }
            let suggested = reached(&[], Some(said), 80)
                .unwrap_err()
                .suggestion
                .unwrap();
            assert_eq!(suggested, format!("domain={FULL} cidr=10.1.2.20/32"));
            assert_eq!(reached(&[&suggested], Some(said), 80), Ok(()));
        }
        let suggested = reached(&[], None, 5432).unwrap_err().suggestion.unwrap();
        assert_eq!(
            suggested,
            format!("proto=tcp domain={FULL} port=5432 cidr=10.1.2.20/32")
        );
        assert_eq!(reached(&[&suggested], None, 5432), Ok(()));
    }

    #[tokio::test]
    async fn what_is_suggested_for_a_name_by_add_host_names_the_address() {
        let mut bench = bench(&[], &[], &[]);
        let suggested = Some("domain=host.test cidr=192.0.2.1/32");
        let denial = decided(&bench, Protocol::Http, Some("host.test"), 80).unwrap_err();
        assert_eq!(denial.suggestion.as_deref(), suggested);
        let observing = Policy::compile(&PolicySource {
            mode: Mode::Observe,
            ..PolicySource::default()
        });
        bench.judge.in_force = InForce::new(observing.unwrap());
        let permit = decided(&bench, Protocol::Http, Some("host.test"), 80).unwrap();
        assert_eq!(permit.grounds().suggestion.as_deref(), suggested);
        assert_eq!(permit.names(server()), Ok(()));
    }

    #[tokio::test]
    async fn what_is_this_containers_own_is_denied_whatever_the_rules_and_nothing_is_offered_for_it()
     {
        use crate::proxy::egress::Interfaces;
        for mode in [Mode::Enforce, Mode::Observe] {
            let mut bench = bench(&[], &[], &[]);
            bench.egress.learn(Interfaces {
                own: vec![server()],
                ..Interfaces::default()
            });
            let source = PolicySource {
                mode,
                ..PolicySource::default()
            };
            let policy = Policy::compile(&source).unwrap();
            bench.judge.in_force = InForce::new(policy);
            let own = "192.0.2.1 is this container's, its gateway's or its host's own";
            for protocol in [Protocol::Udp, Protocol::Tcp, Protocol::Https] {
                let denial = decided(&bench, protocol, None, 9999).unwrap_err();
                assert!(denial.reason.starts_with(own), "{}", denial.reason);
                assert_eq!((denial.suggestion, denial.approvable), (None, None));
            }
        }
        // A name that has the address by --add-host.
        let bench = bench(&[], &[], &[]);
        bench.egress.learn(Interfaces {
            own: vec![server()],
            ..Interfaces::default()
        });
        let denial = decided(&bench, Protocol::Http, Some("host.test"), 80).unwrap_err();
        assert_eq!((denial.suggestion, denial.approvable), (None, None));
    }
}
