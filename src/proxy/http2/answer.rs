//! Answers of our own ([`ours`](crate::proxy::http::ours)), as a stream carries them.

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderValue, Response, StatusCode, header::HeaderName};

use super::body::Piece;
use crate::proxy::http::ours::Ours;

/// Says something of our own on a stream, and ends it. What follows of the request isn't wanted.
pub(super) fn send(respond: &mut SendResponse<Piece>, ours: &Ours, is_head: bool) {
    let (status, fields, body) = ours.parts();
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            response
                .headers_mut()
                .append(HeaderName::from_static(name), value);
        }
    }
    let body = if is_head { Bytes::new() } else { body.into() };
    // A client that is gone needs no answer.
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        let _ = stream.send_data(Piece::ours(body), true);
    }
}
