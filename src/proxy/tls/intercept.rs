//! One connection in TLS whose requests are judged: what its client offers is offered to its server,
//! the client is answered with what that chose, and then the requests are read.
//!
//! Invariant: a certificate is made, and a server connected to, only in a name in which the policy
//! could allow something. No byte of the client's but its hello's list of versions, and the name,
//! has decided what the server hears until a request is judged.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Accepted, Acceptor};
use rustls::{AlertDescription, Error};
use tokio::time::timeout;

use super::{Interception, Offer};
use crate::audit::line::Side;
use crate::audit::{End, Entry, Kind};
use crate::policy::{Denial, Hostname, Permit, Protocol};
use crate::proxy::ahead::{self, Ahead};
use crate::proxy::close::{alert, close_gently, reset};
use crate::proxy::dial::DialError;
use crate::proxy::flow::Flow;
use crate::proxy::http::origin::Origin;
use crate::proxy::http::{self, Said};
use crate::proxy::http2;
use crate::proxy::stream::Stream;

/// For a client's handshake, once its hello is there.
pub const ACCEPTED_WITHIN: Duration = Duration::from_secs(15);

/// Serves a connection whose hello, all of what was `said`, names this server. At the address that
/// stands for denied names no server is asked: each request is judged, and so told why it is denied.
pub(in crate::proxy) async fn serve(
    flow: &Flow,
    client: Stream,
    said: Said,
    name: Hostname,
    mut entry: Entry,
    ahead: Option<Ahead>,
) {
    entry.subject().kind = Kind::Https;
    entry.subject().name = Some(name.to_string());
    let mut footing = flow.footing();
    let (interception, permit, hello) = match begin(flow, &name, &said.bytes) {
        Ok(begun) => begun,
        Err(denial) => {
            entry.deny(&denial);
            return alert(client).await;
        }
    };
    let listed = hello.client_hello().alpn();
    let offer = listed.map_or(Offer::NONE, Offer::listed);
    // At the address of denied names, nothing is allowed that could be denied.
    let still = || match &permit {
        Some(_) => self::permit(flow, &name).map(drop),
        None => Ok(()),
    };
    let asking = async {
        match &permit {
            Some(permit) => ask(flow, interception, permit, &name, offer, ahead).await,
            None => Ok((offer.best(), None)),
        }
    };
    let answered = match footing.hold(still, asking).await {
        Ok(answered) => answered,
        Err(denial) => {
            entry.revoke(&denial);
            return alert(client).await;
        }
    };
    let (agreed, ahead) = match answered {
        Ok(answered) => answered,
        Err(DialError::Denied(denial)) => {
            entry.deny(&denial);
            return alert(client).await;
        }
        Err(DialError::Unreachable(problem)) => {
            entry.finish(End::unreachable(problem));
            return reset(client);
        }
    };
    // From here on, what is let pass is a request, each of which is judged.
    drop(footing);
    match accept(interception, &client, hello, agreed, &name).await {
        Ok(()) => relay(flow, client, Origin::Secure(name, agreed), entry, ahead).await,
        Err(unaccepted) => unaccepted.conclude(client, entry).await,
    }
}

/// Serves the requests, in the version of HTTP that was agreed on.
async fn relay(flow: &Flow, client: Stream, origin: Origin, entry: Entry, ahead: Option<Ahead>) {
    let said = Said {
        bytes: Vec::new(),
        room: flow.streams().budget.nothing(),
        sent: 0,
    };
    if matches!(&origin, Origin::Secure(_, agreed) if agreed.has_h2()) {
        http2::serve(flow, client, origin, said, entry, ahead).await;
    } else {
        http::serve(flow, client, origin, said, entry, ahead).await;
    }
}

/// What it takes: an authority that the container trusts, a hello that is whole, and, where a server is
/// asked, a permit for connections in this name.
fn begin<'f>(
    flow: &'f Flow,
    name: &Hostname,
    hello: &[u8],
) -> Result<(&'f Interception, Option<Permit>, Accepted), Denial> {
    let asks = !flow.is_for_a_denied_name();
    let permit = asks.then(|| permit(flow, name)).transpose()?;
    let interception = flow.interception();
    let interception = interception.ok_or_else(|| Denial::because(NO_TRUST))?;
    let hello = read(hello).map_err(Denial::because)?;
    Ok((interception, permit, hello))
}

fn permit(flow: &Flow, name: &Hostname) -> Result<Permit, Denial> {
    flow.may_allow_in_name(name).ok_or_else(|| {
        let whole = flow.decide(Protocol::Https, Some(name), None);
        whole.err().unwrap_or_else(|| Denial::because(NOTHING))
    })
}

const NOTHING: &str = "no rule allows a request to this name";
/// Reason recorded where the container was made before its policy asked for it.
const NO_TRUST: &str = "its requests have to be read, and this container was not made to trust its gateway: start it anew";

/// Reads a hello that is whole.
fn read(mut bytes: &[u8]) -> Result<Accepted, String> {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        let taken = acceptor.read_tls(&mut bytes);
        taken.map_err(|error| format!("the ClientHello is malformed: {error}"))?;
        match acceptor.accept() {
            Ok(Some(accepted)) if bytes.is_empty() => return Ok(accepted),
            Ok(Some(_)) => return Err("more follows the ClientHello before its answer".to_owned()),
            Ok(None) => {}
            Err((error, _)) => return Err(format!("the ClientHello can't be answered: {error}")),
        }
    }
    Err("the ClientHello is malformed".to_owned())
}

/// Asks the server what it chooses of an offer. Gives that, and the connection; where the server
/// can't be verified, what most would choose, and none: each request is told why.
async fn ask(
    flow: &Flow,
    interception: &Interception,
    permit: &Permit,
    name: &Hostname,
    offer: Offer,
    ahead: Option<Ahead>,
) -> Result<(Offer, Option<Ahead>), DialError> {
    // What a connection that is kept has agreed on, its like would, too.
    if !offer.has_h2() && ahead.is_none() && flow.has_idle_in_tls(permit, name) {
        return Ok((offer, None));
    }
    let connected = ahead::connect(flow, permit, ahead).await?;
    let upstream = connected.upstream;
    let secured = interception
        .servers
        .secure(&upstream.stream, name, offer)
        .await;
    match secured {
        Ok(()) => {
            let agreed = upstream.stream.agreed();
            Ok((agreed, Some(Ahead::made(permit.clone(), upstream, false))))
        }
        Err(problem) => {
            log::debug!("{name}: {problem}");
            Ok((offer.best(), None))
        }
    }
}

/// Why a client's handshake came to nothing.
enum Unaccepted {
    Denied(String),
    Ended(io::Error),
}

impl Unaccepted {
    async fn conclude(self, client: Stream, entry: Entry) {
        match self {
            Self::Denied(why) => {
                entry.deny(&Denial::because(why));
                close_gently(client).await;
            }
            Self::Ended(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                entry.finish(End::closed(Side::Client));
            }
            Self::Ended(error) => {
                entry.finish(End::reset(Side::Client, Some(error.to_string())));
                reset(client);
            }
        }
    }
}

async fn accept(
    interception: &Interception,
    client: &Stream,
    hello: Accepted,
    agreed: Offer,
    name: &Hostname,
) -> Result<(), Unaccepted> {
    let config = Arc::clone(interception.clients.of(agreed));
    let connection = match hello.into_connection(config) {
        Ok(connection) => connection,
        Err((error, mut alert)) => {
            let mut words = Vec::new();
            // Into memory.
            let _ = alert.write_all(&mut words);
            let _ = client.try_write(&words);
            return Err(Unaccepted::Denied(format!(
                "the client's TLS can't be intercepted: {error}"
            )));
        }
    };
    if !client.secure(connection.into()) {
        return Err(Unaccepted::Denied(crate::proxy::budget::used_up().reason));
    }
    match timeout(ACCEPTED_WITHIN, client.shake_hands()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(explained(error, name)),
        Err(_) => Err(Unaccepted::Denied(
            "the client's TLS handshake did not end".to_owned(),
        )),
    }
}

/// Why a client's handshake failed: most often, it doesn't trust whom we had it trust.
fn explained(error: io::Error, name: &Hostname) -> Unaccepted {
    use AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, UnknownCA,
        UnsupportedCertificate,
    };
    let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match of_tls {
        Some(Error::AlertReceived(
            BadCertificate
            | CertificateExpired
            | CertificateRevoked
            | CertificateUnknown
            | UnknownCA
            | UnsupportedCertificate,
        )) => Unaccepted::Denied(format!(
            "its requests have to be read, and the client trusts only roots of its own: for such clients, put {name} into tls: passthrough"
        )),
        Some(error) => Unaccepted::Denied(format!("the client's TLS handshake failed: {error}")),
        None => Unaccepted::Ended(error),
    }
}
