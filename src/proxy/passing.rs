//! A connection whose bytes are passed on unread from here on: connected, and moved to its end, for as
//! long as the policy in force allows it.

use std::pin::pin;

use super::ahead::{self, Ahead, Connected};
use super::close::reset;
use super::dial::{DialError, Upstream};
use super::flow::{Flow, Lead};
use super::in_force::Footing;
use super::reading::Fits;
use super::splice::{Early, Ends, splice_both};
use super::stream::Stream;
use crate::audit::{End, Entry};
use crate::policy::{Denial, Denials, Hostname, Permit, Protocol};

/// Why nothing is moved.
pub(super) enum Closed {
    Denied(Denial),
    /// By a policy that came after it was allowed.
    Revoked(Denial),
    Unreachable(String),
}

/// What a connection is passed on by, none of whose bytes is read any more.
pub(super) enum Basis {
    /// Its address alone: not one was read.
    Unread,
    /// The name in its hello.
    Hello(Hostname),
    /// As any TCP that begins with a hello, in this name, if in one.
    HelloWithoutName(Option<Hostname>),
    /// As any TCP, in this name, if in one, and since it isn't what deny rules look at.
    Opaque(Option<Hostname>, Denials),
}

/// Reason given where a changed policy looks at what was passed on unread.
const UNREAD: &str = "rules look at what is said on it, which was passed on unread";

impl Basis {
    /// The permit of the policy in force for it.
    fn decide(&self, flow: &Flow) -> Result<Permit, Denial> {
        match self {
            Self::Unread => match flow.fits() {
                Fits::AnyBytes(permit) => Ok(*permit),
                _ => Err(flow
                    .decide_unnamed(Protocol::Tcp, None)
                    .1
                    .err()
                    .unwrap_or_else(|| Denial::because(UNREAD))),
            },
            Self::Hello(name) if flow.intercepts(name) => Err(Denial::because(UNREAD)),
            Self::Hello(name) => flow.decide(Protocol::Https, Some(name), None),
            Self::HelloWithoutName(name) => {
                let as_tls = flow.decide_unnamed_as(Protocol::Https, name.as_ref(), None);
                match as_tls {
                    Err(denial) if denial.rule.is_some() => Err(denial),
                    _ => flow.decide_unnamed_as(Protocol::Tcp, name.as_ref(), None),
                }
            }
            Self::Opaque(name, pretences) => match flow.fits() {
                Fits::AnyBytes(permit) => Ok(*permit),
                fits => {
                    let permit = flow.decide_unnamed_as(Protocol::Tcp, name.as_ref(), None)?;
                    match fits.pretences() <= *pretences {
                        true => Ok(permit),
                        false => Err(Denial::because(UNREAD)),
                    }
                }
            },
        }
    }
}

/// A connection whose bytes are passed on, for as long as that is allowed.
pub(super) struct Passing<'a> {
    pub(super) flow: &'a Flow,
    pub(super) footing: Footing,
    pub(super) basis: Basis,
}

impl Passing<'_> {
    /// From verdict to connection, with the record kept up to date.
    pub(super) async fn open(
        &mut self,
        permit: Result<Permit, Denial>,
        entry: &mut Entry,
        ahead: Option<Ahead>,
    ) -> Result<Connected, Closed> {
        let permit = permit.map_err(Closed::Denied)?;
        entry.allowed(permit.grounds(), None);
        entry.open().map_err(Closed::Denied)?;
        let (flow, basis) = (self.flow, &self.basis);
        let still = || basis.decide(flow).map(drop);
        let connecting = ahead::connect(flow, &permit, ahead);
        let connected = self.footing.hold(still, connecting).await;
        match connected.map_err(Closed::Revoked)? {
            Ok(server) => {
                let Upstream {
                    address, permit, ..
                } = &server.upstream;
                // Whether it may lead there was asked of the policy that this permit is of.
                self.footing.decided_by(permit.generation());
                entry.allowed(
                    &permit.grounds_at(*address),
                    Some(address.socket_addr().ip()),
                );
                Ok(server)
            }
            Err(DialError::Denied(denial)) => Err(Closed::Denied(denial)),
            Err(DialError::Unreachable(problem)) => Err(Closed::Unreachable(problem)),
        }
    }

    /// Moves the bytes, to the end of it.
    pub(super) async fn tunnel(
        mut self,
        client: Stream,
        server: Connected,
        early: Vec<u8>,
        mut entry: Entry,
    ) {
        let Connected {
            upstream, unpassed, ..
        } = server;
        let lead = Lead::of(&upstream);
        let Upstream { stream, permit, .. } = upstream;
        // Not carried along by what may last for days.
        drop(permit);
        let traffic = entry.traffic();
        traffic.measure_by(Ends::of(client.meter(), stream.meter()));
        let early = Early {
            out: early,
            back: unpassed,
        };
        let (flow, basis) = (self.flow, &self.basis);
        let still = || flow.still_leads(&basis.decide(flow)?, &lead);
        // Pinned here, so that what may last for days has room for it once.
        let splicing = pin!(splice_both(client, stream, early, &traffic));
        match self.footing.hold(still, splicing).await {
            Ok(end) => entry.finish(end),
            Err(denial) => entry.revoke(&denial),
        }
    }

    pub(super) async fn tunnel_or_reset(
        self,
        client: Stream,
        server: Result<Connected, Closed>,
        early: Vec<u8>,
        entry: Entry,
    ) {
        match server {
            Ok(server) => self.tunnel(client, server, early, entry).await,
            Err(Closed::Denied(denial)) => {
                entry.deny(&denial);
                reset(client);
            }
            Err(Closed::Revoked(denial)) => {
                entry.revoke(&denial);
                reset(client);
            }
            Err(Closed::Unreachable(problem)) => unreachable(client, &problem, entry),
        }
    }
}

/// The server could not be reached.
pub(super) fn unreachable(client: Stream, problem: &str, entry: Entry) {
    entry.finish(End::unreachable(problem));
    reset(client);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::proxy::rig::Rig;

    const RANGE: &str = "cidr=192.0.2.0/24";

    /// A connection to port 9000 that is open, in a rig with these rules: both of its ends.
    async fn open(allow: &[&str]) -> (Rig, TcpStream, TcpStream) {
        let (rig, outside) = Rig::new(allow, &[]).await;
        let mut client = rig.client_saying(9000, b"\x01ab").await;
        let (mut server, _) = outside.accept().await.unwrap();
        let mut heard = [0; 3];
        server.read_exact(&mut heard).await.unwrap();
        server.write_all(b"back").await.unwrap();
        client.read_exact(&mut [0; 4]).await.unwrap();
        (rig, client, server)
    }

    #[tokio::test]
    async fn what_a_changed_policy_denies_is_cut_and_says_so() {
        for (allow, deny) in [
            (&[][..], &[][..]),
            (&["cidr=192.0.2.0/24 port=9001"], &[]),
            (&["cidr=198.51.100.0/24"], &[]),
            (&[RANGE], &["port=9000"]),
            // It was passed on unread, and would be read.
            (&[RANGE], &["domain=evil.test"]),
            (&[RANGE], &["method=POST"]),
        ] {
            let (rig, mut client, _server) = open(&[RANGE]).await;
            assert_eq!(rig.change(allow, deny).await, 1, "{allow:?} {deny:?}");
            let error = client.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            let record = rig.record().await;
            let reason = record.reason.unwrap();
            assert!(reason.contains("the policy was changed"), "{reason}");
        }
    }

    #[tokio::test]
    async fn what_a_changed_policy_allows_goes_on() {
        let (rig, mut client, mut server) = open(&[RANGE]).await;
        let others = [
            &["cidr=192.0.2.1/32 port=9000"][..],
            &["domain=a.test", RANGE],
            &["cidr=0.0.0.0/0"],
        ];
        for allow in others {
            assert_eq!(rig.change(allow, &[]).await, 0, "{allow:?}");
            client.write_all(b"more").await.unwrap();
            server.read_exact(&mut [0; 4]).await.unwrap();
        }
        assert_eq!(rig.change(&[], &[]).await, 1);
    }

    /// A connection by a name goes on while the new policy allows that name there.
    #[tokio::test]
    async fn one_by_name_is_judged_by_that_name() {
        let by_name = "domain=a.test proto=tcp port=9000";
        let (rig, outside) = Rig::new(&[by_name], &[]).await;
        let name = Hostname::parse("a.test").unwrap();
        let address = crate::proxy::rig::SERVER.into();
        let minute = std::time::Duration::from_secs(60);
        rig.bench.judge.learned.remember(address, &name, minute);
        let mut client = rig.client_saying(9000, b"\x01ab").await;
        let (mut server, _) = outside.accept().await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(
            rig.change(&["domain=*.test proto=tcp port=9000"], &[])
                .await,
            0
        );
        assert_eq!(
            rig.change(
                &["domain=*.test proto=tcp port=9000 cidr=192.0.2.1/32"],
                &[]
            )
            .await,
            0
        );
        client.write_all(b"more").await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        // Another address of the same name.
        assert_eq!(
            rig.change(
                &["domain=*.test proto=tcp port=9000 cidr=192.0.2.9/32"],
                &[]
            )
            .await,
            1
        );
    }
}
