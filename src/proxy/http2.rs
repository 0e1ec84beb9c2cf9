//! HTTP/2 whose requests are judged: each stream by itself, and passed on in HTTP/2.
//!
//! Owns the client's connection, and the bounds of what it and the connections to its servers keep.
//! Frames, header compression and windows are the library's (`h2`). Invariant: nothing of a stream
//! passes before its head has been judged, and what was judged is what is sent ([`request`]). A
//! body is kept only as far as its sender was let send it, and that is paid for before (`window`).

mod answer;
mod body;
mod exchange;
mod io;
mod limits;
mod relay;
pub mod request;
mod servers;
mod usage;
mod window;

use std::sync::Arc;

use h2::server::Connection;
use tokio::task::JoinSet;

use self::body::Piece;
use self::exchange::Begun;
use self::io::Io;
use self::limits::CONNECTION;
pub use self::limits::{as_client, as_server};
use self::relay::Relay;
use self::servers::{Made, Servers};
use self::window::Window;
use super::ahead::Ahead;
use super::budget::used_up;
use super::close::{close_gently, reset};
use super::flow::Flow;
use super::http::Said;
use super::http::origin::Origin;
use super::stream::Stream;
use crate::audit::Entry;
use crate::policy::Denial;

/// Reason recorded where a client ended before a request.
const INCOMPLETE: &str = "no request became complete";

/// Serves a connection in HTTP/2 from its first byte on. `first` becomes the record of its first
/// request; `ahead` serves it, where it leads to what the request is for.
pub(super) async fn serve(
    flow: &Flow,
    client: Stream,
    origin: Origin,
    said: Said,
    mut first: Entry,
    ahead: Option<Ahead>,
) {
    first.subject().kind = origin.kind();
    let budget = &flow.streams().budget;
    let room = budget.take(CONNECTION);
    let (Some(_room), Some(window)) = (room, Window::new(budget)) else {
        first.deny(&used_up());
        return reset(client);
    };
    let made = Made {
        ahead,
        sent: said.sent,
    };
    let relay = Arc::new(Relay {
        flow: flow.clone(),
        origin,
        servers: Servers::new(made),
        window: Arc::new(window),
    });
    let io = Io::client(client.clone(), said.bytes);
    match as_server().handshake(io).await {
        Ok(connection) => Box::pin(accept(relay, connection, first)).await,
        Err(error) => no_request(&relay.origin, first, error.is_io()),
    }
    close_gently(client).await;
}

/// The client has ended without a request; `in_order`, as far as can be seen.
fn no_request(origin: &Origin, first: Entry, in_order: bool) {
    match origin.unasked().filter(|_| in_order) {
        Some(end) => first.finish(end),
        None => first.deny(&Denial::because(INCOMPLETE)),
    }
}

/// Accepts streams until there are no more, and sees them to their ends.
async fn accept(relay: Arc<Relay>, mut connection: Connection<Io, Piece>, first: Entry) {
    let mut first = Some(first);
    let mut streams = JoinSet::new();
    let mut has_websockets = false;
    let in_order = loop {
        tokio::select! {
            biased;
            accepted = connection.accept() => {
                // Of a connection that is broken, every stream hears by itself.
                let (request, respond) = match accepted {
                    Some(Ok(stream)) => stream,
                    Some(Err(_)) => break false,
                    None => break true,
                };
                let (head, upload) = request.into_parts();
                let begun = Begun {
                    head,
                    upload: (!upload.is_end_stream()).then_some(upload),
                    respond,
                    entry: first.take().unwrap_or_else(|| relay.flow.begin(relay.origin.kind())),
                };
                streams.spawn(exchange::serve(Arc::clone(&relay), begun));
            }
            Some(_) = streams.join_next() => {}
            (size, of_stream) = relay.window.grown() => {
                connection.set_target_window_size(size);
                // Not while the last change has not been heard: the next one is.
                let _ = connection.set_initial_window_size(of_stream);
            }
            () = relay.servers.takes_websockets(), if !has_websockets => {
                has_websockets = connection.enable_connect_protocol().is_ok();
            }
        }
    };
    if let Some(first) = first {
        no_request(&relay.origin, first, in_order);
    }
    drop(connection);
    while streams.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests;
