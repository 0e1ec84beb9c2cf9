//! The only place that opens connections to the outside. Takes an `UpstreamAddr`, which only the
//! policy makes.
//!
//! Resolves a permitted *name* itself, whatever address the client chose, and connects to nothing
//! that the permit didn't pass, address by address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::budget::used_up;
use super::connect::{NoAnswer, tcp_answered, tcp_connected};
use super::dns::Resolver;
use super::egress::Egress;
use super::race::{self, Lost};
use super::stream::{Stream, Streams};
use crate::policy::{Denial, GivenNames, Permit, UpstreamAddr};

/// A connection to the outside.
#[derive(Debug)]
pub struct Upstream {
    /// It.
    pub stream: Stream,
    /// Where it goes.
    pub address: UpstreamAddr,
    /// The route by which it was made.
    pub permit: Box<Permit>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name leads only to addresses that may not be reached, or there is no room for another
    /// connection.
    Denied(Denial),
    /// It was permitted, but couldn't be resolved or connected to. In words for the record and the
    /// client.
    Unreachable(String),
}

/// The way out, so that a test can stand a server of its own in for the internet: loopback is never
/// permitted.
pub(super) trait Outside: fmt::Debug + Send + Sync {
    /// Connects to what the permit is for. `client` asked, and had addressed its packets to
    /// `destination`.
    fn dial<'a>(
        &'a self,
        permit: &'a Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>>;

    /// Connects to one address, for a client that waits for its answer as it comes.
    fn ask<'a>(
        &'a self,
        address: UpstreamAddr,
        client: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Stream, NoAnswer>> + Send + 'a>>;
}

/// The dialler of one gateway.
#[derive(Debug)]
pub struct Dialler {
    /// What a connection takes its memory from.
    pub streams: Streams,
    /// Resolves.
    pub resolver: Arc<Resolver>,
    /// Says from where to connect, and where not to.
    pub egress: Arc<Egress>,
    /// Names whose addresses aren't in DNS.
    pub given: Arc<GivenNames>,
}

impl Outside for Dialler {
    // Boxed: a connection in use doesn't carry the room that its dialling took.
    fn dial<'a>(
        &'a self,
        permit: &'a Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Upstream, DialError>> + Send + 'a>> {
        Box::pin(self.connect(permit, client, destination))
    }

    fn ask<'a>(
        &'a self,
        address: UpstreamAddr,
        client: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = Result<Stream, NoAnswer>> + Send + 'a>> {
        Box::pin(async move {
            let room = self.streams.room().ok_or(NoAnswer::NotAsked)?;
            let to = address.socket_addr();
            let source = self.egress.source_for(client.ip(), to.ip());
            let tcp = tcp_answered(source, to, room.receive_size()).await;
            // A container takes nothing from its own address: what this gateway itself says in that.
            let own = &self.egress.interfaces().own;
            let tcp = tcp.map_err(|no| no.not_said_by(own))?;
            room.of(tcp).map_err(|_| NoAnswer::NotAsked)
        })
    }
}

/// Addresses tried for one name. Most have one to four; more would only draw out a failure.
const ADDRESSES: usize = 6;
/// For all of it, looking up included.
const DIAL_WITHIN: Duration = Duration::from_secs(30);
/// For a route behind which there are others.
const ROUTE_WITHIN: Duration = Duration::from_secs(10);

impl Dialler {
    async fn connect(
        &self,
        permit: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Upstream, DialError> {
        let end = Instant::now() + DIAL_WITHIN;
        let mut failed = None;
        for route in permit.routes() {
            let is_last = route.routes().nth(1).is_none();
            let until = if is_last {
                end
            } else {
                end.min(Instant::now() + ROUTE_WITHIN)
            };
            let connected = self.connect_by(route, client, destination, until);
            match timeout_at(until, connected).await {
                Ok(Ok(upstream)) => return Ok(upstream),
                Ok(Err(error)) => failed = Some(graver(failed, error)),
                Err(_) => failed = Some(graver(failed, late())),
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    async fn connect_by(
        &self,
        route: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
        until: Instant,
    ) -> Result<Upstream, DialError> {
        let candidates = self.candidates(route, client, destination, true).await?;
        let addresses = self.permitted(route, destination, candidates)?;
        let (stream, address) = self.connect_first(client, &addresses, until).await?;
        Ok(Upstream {
            stream,
            address,
            permit: Box::new(route.alone()),
        })
    }

    /// The address that is best for datagrams, passed by the permit, with the route that leads
    /// there.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn permitted_address<'p>(
        &self,
        permit: &'p Permit,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<(UpstreamAddr, &'p Permit), DialError> {
        let end = Instant::now() + DIAL_WITHIN;
        let mut failed = None;
        for route in permit.routes() {
            let candidates = self.candidates(route, client, destination, false);
            let found = match timeout_at(end, candidates).await {
                Ok(Ok(candidates)) => self.permitted(route, destination, candidates),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(late()),
            };
            match found {
                Ok(addresses) => {
                    if let Some(best) = addresses.first() {
                        return Ok((*best, route));
                    }
                }
                Err(error) => failed = Some(graver(failed, error)),
            }
        }
        Err(failed.unwrap_or_else(no_address))
    }

    /// Those of the candidates that the permit passes, in the order in which they are tried.
    fn permitted(
        &self,
        permit: &Permit,
        destination: SocketAddr,
        candidates: Vec<IpAddr>,
    ) -> Result<Vec<UpstreamAddr>, DialError> {
        let interfaces = self.egress.interfaces();
        let mut denial = None;
        let mut permitted = Vec::with_capacity(1);
        for address in candidates {
            match permit.upstream(address, &interfaces.own) {
                Ok(address) => permitted.push(address),
                Err(denied) => denial = denial.or(Some(denied)),
            }
        }
        let mut ordered = in_order(permitted, destination.ip());
        ordered.truncate(ADDRESSES);
        match denial {
            _ if !ordered.is_empty() => Ok(ordered),
            Some(denial) => Err(DialError::Denied(denial)),
            None => Err(self.nowhere(permit, no_address())),
        }
    }

    /// The addresses that the permit's target has; of both families where they are raced.
    async fn candidates(
        &self,
        permit: &Permit,
        client: SocketAddr,
        destination: SocketAddr,
        raced: bool,
    ) -> Result<Vec<IpAddr>, DialError> {
        // A container looks into its hosts file first, where an engine writes what it was told by
        // `--add-host`. Such an address counts only where a rule names it: whoever starts a container
        // could else send any allowed name anywhere.
        let mut unnamed = None;
        let mut named = Vec::new();
        for address in permit
            .name()
            .into_iter()
            .flat_map(|name| self.given.addresses_of(name))
        {
            match permit.names(address) {
                Ok(()) => named.push(address),
                Err(denial) => unnamed = Some(denial),
            }
        }
        if !named.is_empty() {
            return Ok(named);
        }
        // Names of one label are the engine's own (`db`), and only its resolver inside the container
        // knows them. The address that it gave is taken where it is a neighbour's; anywhere else it
        // would be the client's free choice.
        let single_label = permit
            .name()
            .is_some_and(|name| !name.as_str().contains('.'));
        if single_label && self.is_on_link(destination.ip()) {
            return Ok(vec![destination.ip()]);
        }
        let found = if raced {
            self.resolver.lookup_both(permit, client.ip()).await
        } else {
            self.resolver.lookup(permit, client.ip()).await
        };
        found.map_err(|error| match unnamed {
            Some(denial) => DialError::Denied(denial),
            None => {
                let error = format!("looking up the name: {error}");
                self.nowhere(permit, DialError::Unreachable(error))
            }
        })
    }

    /// What is said of a route whose name has no address: that the next is to one that is never open, if it
    /// is. Nothing has left, and that is what the client was after.
    fn nowhere(&self, route: &Permit, error: DialError) -> DialError {
        let own = &self.egress.interfaces().own;
        let next = route.routes().nth(1);
        let denial = next.and_then(|next| next.upstream(next.address()?, own).err());
        denial.map_or(error, DialError::Denied)
    }

    fn is_on_link(&self, address: IpAddr) -> bool {
        self.egress
            .interfaces()
            .on_link
            .iter()
            .any(|prefix| prefix.contains(&address))
    }

    /// Connects to the address that answers first.
    async fn connect_first(
        &self,
        client: SocketAddr,
        addresses: &[UpstreamAddr],
        until: Instant,
    ) -> Result<(Stream, UpstreamAddr), DialError> {
        let attempt = |address: UpstreamAddr| {
            let room = self.streams.room()?;
            let target = address.socket_addr();
            let source = self.egress.source_for(client.ip(), target.ip());
            Some(async move {
                let tcp = tcp_connected(source, target, room.receive_size()).await?;
                let stream = room.of(tcp)?;
                Ok((stream, address))
            })
        };
        race::first(addresses, until, attempt)
            .await
            .map_err(|lost| match lost {
                Lost::NoRoom => DialError::Denied(used_up()),
                Lost::Late => late(),
                Lost::Failed(address, error) => DialError::Unreachable(format!(
                    "connecting to {}: {error}",
                    address.socket_addr()
                )),
            })
    }
}

/// What is said where several routes failed: of the last that no rule was against; else why the
/// first was denied.
fn graver(before: Option<DialError>, error: DialError) -> DialError {
    match (before, error) {
        (Some(before), DialError::Denied(_)) => before,
        (_, error) => error,
    }
}

fn late() -> DialError {
    DialError::Unreachable("not connected in time".to_owned())
}

fn no_address() -> DialError {
    DialError::Unreachable("the name has no address".to_owned())
}

/// The address that the client chose, if it is among them: servers behind one name may not share
/// their state. Then both families in turn (RFC 8305, 4), the client's first, which works for it.
fn in_order(mut addresses: Vec<UpstreamAddr>, chosen: IpAddr) -> Vec<UpstreamAddr> {
    let ip = |address: &UpstreamAddr| address.socket_addr().ip();
    addresses.sort_by_key(|address| ip(address) != chosen);
    let (theirs, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| ip(address).is_ipv4() == chosen.is_ipv4());
    let (mut theirs, mut other) = (theirs.into_iter(), other.into_iter());
    let turns = || [theirs.next(), other.next()];
    std::iter::repeat_with(turns)
        .take_while(|turn| turn.iter().any(Option::is_some))
        .flatten()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Attempt, Hostname, Protocol, Verdict};
    use crate::proxy::bench::Bench;

    #[test]
    fn what_is_tried_is_permitted_in_turn_of_both_families_and_bounded() {
        let bench = Bench::new(&["domain=allowed.test"], Vec::new());
        let name = Hostname::parse("allowed.test").unwrap();
        let destination = "192.0.2.3:443".parse().unwrap();
        let attempt = Attempt {
            protocol: Protocol::Https,
            name: Some(&name),
            destination,
            method: None,
            path: None,
        };
        let Verdict::Allow(permit) = bench.judge.policy().decide(&attempt) else {
            panic!("denied")
        };
        let dialler = bench.dialler();
        let tried = |candidates: &[&str]| {
            let candidates = candidates.iter().map(|address| address.parse().unwrap());
            let permitted = dialler.permitted(&permit, destination, candidates.collect());
            permitted.map(|addresses| {
                let ip = |address: UpstreamAddr| address.socket_addr().ip().to_string();
                addresses.into_iter().map(ip).collect::<Vec<_>>()
            })
        };
        let (v4, v6) = ("192.0.2.", "2001:db8::");
        let all: Vec<_> = (1..=4)
            .flat_map(|n| [format!("{v6}{n}"), format!("{v4}{n}")])
            .chain(["127.0.0.1", "10.0.0.1", "::1", "169.254.169.254"].map(str::to_owned))
            .rev()
            .collect();
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(
            tried(&all).unwrap(),
            [
                "192.0.2.3",
                "2001:db8::4",
                "192.0.2.4",
                "2001:db8::3",
                "192.0.2.2",
                "2001:db8::2"
            ]
        );
        assert_eq!(
            tried(&["2001:db8::1", "2001:db8::2", "192.0.2.1"]).unwrap(),
            ["192.0.2.1", "2001:db8::1", "2001:db8::2"]
        );
        assert!(matches!(tried(&["127.0.0.1"]), Err(DialError::Denied(_))));
        assert!(matches!(tried(&[]), Err(DialError::Unreachable(_))));
    }

    const ENTRY: &str = "192.0.2.7";

    /// Where a request for `host.test` is sent under these rules, in a container that was started
    /// with `--add-host host.test:192.0.2.7` and addresses its packets elsewhere.
    async fn dialled(allow: &[&str]) -> Result<Vec<String>, (String, Option<String>)> {
        let name = Hostname::parse("host.test").unwrap();
        let mut bench = Bench::new(allow, Vec::new());
        bench.judge.given = Arc::new(GivenNames {
            hosts: vec![(name.clone(), ENTRY.parse().unwrap())],
            ..GivenNames::default()
        });
        let (client, destination) = (
            "10.0.0.2:40000".parse().unwrap(),
            "198.51.100.1:80".parse().unwrap(),
        );
        let permit = bench
            .judge
            .decide(&Attempt {
                protocol: Protocol::Http,
                name: Some(&name),
                destination,
                method: None,
                path: None,
            })
            .unwrap();
        let found = bench
            .dialler()
            .permitted_address(&permit, client, destination)
            .await;
        match found {
            Ok((address, _)) => Ok(vec![address.socket_addr().to_string()]),
            Err(DialError::Denied(denial)) => Err((denial.reason, denial.suggestion)),
            Err(DialError::Unreachable(problem)) => Err((problem, None)),
        }
    }

    #[tokio::test]
    async fn a_name_by_add_host_leads_to_its_address_where_a_rule_names_that() {
        let entry = Ok(vec![format!("{ENTRY}:80")]);
        for rules in [
            &["domain=host.test cidr=192.0.2.7/32"][..],
            &["domain=host.test cidr=192.0.2.0/24"],
            &["domain=host.test", "cidr=192.0.2.7/32 port=80"],
        ] {
            assert_eq!(dialled(rules).await, entry, "{rules:?}");
        }
    }

    #[tokio::test]
    async fn elsewhere_it_is_looked_up_and_what_is_missing_is_said() {
        let said = "host.test leads to 192.0.2.7, which is its address by --add-host, and no rule \
                    names it by cidr";
        let missing = Err((
            said.to_owned(),
            Some("domain=host.test cidr=192.0.2.7/32".to_owned()),
        ));
        for rules in [
            &["domain=host.test"][..],
            &["domain=*"],
            &["domain=host.test", "cidr=192.0.2.7/32 port=443"],
            &["domain=host.test", "domain=other.test cidr=192.0.2.7/32"],
        ] {
            assert_eq!(dialled(rules).await, missing, "{rules:?}");
        }
    }

    #[tokio::test]
    async fn what_was_addressed_to_what_is_never_open_is_denied_as_that_where_its_name_leads_nowhere()
     {
        let bench = Bench::new(&[], Vec::new());
        bench.egress.learn(crate::proxy::egress::Interfaces {
            own: vec!["192.0.2.1".parse().unwrap()],
            ..crate::proxy::egress::Interfaces::default()
        });
        let observing = crate::policy::PolicySource {
            mode: crate::policy::Mode::Observe,
            ..crate::policy::PolicySource::default()
        };
        let policy = crate::policy::Policy::compile(&observing).unwrap();
        let name = Hostname::parse("unknown.test").unwrap();
        for (address, class) in [
            ("169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b:1::a9fe:a9fe", "link-local"),
            ("2002:a9fe:a9fe::1", "link-local"),
            ("fd00:ec2::254", "a cloud's metadata service"),
            ("192.0.2.1", "its host's own"),
            ("198.51.100.1", ""),
        ] {
            let destination = SocketAddr::new(address.parse().unwrap(), 80);
            let attempt = Attempt {
                protocol: Protocol::Http,
                name: Some(&name),
                destination,
                method: Some("GET"),
                path: Some("/"),
            };
            let Verdict::Allow(permit) = policy.decide(&attempt) else {
                panic!("{address}");
            };
            let client = "10.0.0.2:40000".parse().unwrap();
            let dialler = bench.dialler();
            match dialler
                .permitted_address(&permit, client, destination)
                .await
            {
                Err(DialError::Denied(denial)) => {
                    assert!(
                        !class.is_empty() && denial.reason.contains(class),
                        "{denial:?}"
                    );
                }
                Ok((led, _)) => assert_eq!((led.socket_addr(), class), (destination, "")),
                Err(error) => panic!("{address}: {error:?}"),
            }
        }
    }

    /// Where a request for `web`, which no resolver knows, is sent that the container addresses to
    /// 198.51.100.1; and by which rule.
    async fn fallen_back(allow: &[&str]) -> Result<(String, String), DialError> {
        let name = Hostname::parse("web").unwrap();
        let bench = Bench::new(allow, Vec::new());
        let destination = "198.51.100.1:80".parse().unwrap();
        let attempt = Attempt {
            protocol: Protocol::Http,
            name: Some(&name),
            destination,
            method: None,
            path: None,
        };
        let permit = bench.judge.decide(&attempt).unwrap();
        let client = "10.0.0.2:40000".parse().unwrap();
        let dialler = bench.dialler();
        let (address, route) = dialler
            .permitted_address(&permit, client, destination)
            .await?;
        let rule = route.grounds_at(address).rule.to_string();
        Ok((address.socket_addr().to_string(), rule))
    }

    #[tokio::test]
    async fn a_name_that_leads_nowhere_falls_back_to_the_address_that_a_rule_allows_and_to_no_other()
     {
        let by_address = "cidr=198.51.100.0/24 port=80";
        for rules in [
            &["domain=web", by_address][..],
            &[by_address],
            &[by_address, "domain=*"],
        ] {
            let (address, rule) = fallen_back(rules).await.unwrap();
            assert_eq!(
                (address.as_str(), rule.as_str()),
                ("198.51.100.1:80", by_address)
            );
        }
        for rules in [
            &["domain=web"][..],
            &["domain=web", "cidr=198.51.100.0/24 port=443"],
            &["domain=web", "cidr=192.0.2.0/24"],
            &["domain=web cidr=198.51.100.0/24"],
        ] {
            let error = fallen_back(rules).await.unwrap_err();
            assert!(matches!(error, DialError::Unreachable(_)), "{rules:?}");
        }
    }
}
