//! Which headers are passed on. RFC 9110 7.6.1: some are for one hop only, and `Connection` names
//! more of them.
//!
//! Invariant: an upgrade turns the connection into bytes that are no longer judged, so only
//! `websocket` passes. `h2c` would carry further requests, `connect-udp` and its like traffic to
//! elsewhere.

use hyper::Request;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

/// The headers without those for one hop. With `upgrade`, it says anew what makes an upgrade to a
/// websocket.
pub(super) fn end_to_end(headers: HeaderMap, upgrade: bool) -> HeaderMap {
    let named: Vec<HeaderName> = tokens(&headers, &CONNECTION)
        .filter_map(|name| name.parse().ok())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    // In the order they came: a removal from the map would shuffle it. Repetitions come without
    // their name.
    for (name, value) in headers {
        last = name.or(last);
        if let Some(name) = last
            .as_ref()
            .filter(|name| !is_for_one_hop(name) && !named.contains(name))
        {
            kept.append(name, value);
        }
    }
    if upgrade {
        kept.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        kept.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    kept
}

fn is_for_one_hop(name: &HeaderName) -> bool {
    const OTHERS: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];
    [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name) || OTHERS.contains(&name.as_str())
}

/// Whether a request asks to become a websocket, and nothing else.
pub(super) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    let mut upgrades = tokens(request.headers(), &UPGRADE);
    let websocket = upgrades
        .next()
        .is_some_and(|token| token.eq_ignore_ascii_case("websocket"));
    websocket && upgrades.next().is_none() && says(request.headers(), "upgrade")
}

/// Whether `Connection` has this option.
pub(super) fn says(headers: &HeaderMap, option: &str) -> bool {
    tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(option))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request<()> {
        lines
            .iter()
            .fold(Request::builder(), |builder, (name, value)| {
                builder.header(*name, *value)
            })
            .body(())
            .unwrap()
    }

    fn kept(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        let headers = end_to_end(request(lines).into_parts().0.headers, false);
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn headers_for_one_hop_and_those_that_connection_names_go_and_the_order_stays() {
        let lines = [
            ("connection", "close, X-Secret"),
            ("a", "1"),
            ("x-secret", "2"),
            ("keep-alive", "timeout=5"),
            ("b", "3"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("c", "4"),
            ("b", "5"),
        ];
        let expected = [("a", "1"), ("b", "3"), ("b", "5"), ("c", "4")];
        assert_eq!(
            kept(&lines),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn only_a_lone_websocket_is_an_upgrade() {
        let asks = |connection, upgrade| {
            asks_for_websocket(&request(&[
                ("connection", connection),
                ("upgrade", upgrade),
            ]))
        };
        assert!(asks("keep-alive, Upgrade", "WebSocket"));
        assert!(!asks("upgrade, http2-settings", "h2c"));
        assert!(!asks("upgrade", "websocket, h2c"));
        assert!(!asks("upgrade", "connect-udp"));
        assert!(!asks("keep-alive", "websocket"));
    }
}
