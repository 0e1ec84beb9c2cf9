//! Answers of our own ([`ours`](crate::proxy::http::ours)), as a stream carries them.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderValue, Response, header::HeaderName};

use super::body::Piece;
use crate::proxy::http::ours::Ours;

/// Says something of our own on a stream, and ends it. What follows of the request isn't wanted.
pub(super) fn send(respond: &mut SendResponse<Piece>, ours: &Ours, is_head: bool) {
    let mut response = Response::new(());
    *response.status_mut() = ours.status;
    for (name, value) in &ours.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
    }
    let body = if is_head {
        Bytes::new()
    } else {
        ours.body.clone().into()
    };
    // A client that is gone needs no answer.
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        let _ = stream.send_data(Piece::ours(body), true);
    }
}
