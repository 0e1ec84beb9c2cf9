//! One denial as a sentence, for `status`.

use super::line::Line;
use super::record::Kind;

/// What was denied, and why: `tcp 192.0.2.7:22 (git.example.org): no rule allows it`.
pub(super) fn denial(line: &Line) -> String {
    let protocol = line.protocol.map_or("", Kind::word);
    let address = line
        .address
        .map_or_else(String::new, |address| match line.port {
            Some(port) if port > 0 => std::net::SocketAddr::new(address, port).to_string(),
            _ => address.to_string(),
        });
    let name = line
        .name
        .as_deref()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    format!(
        "{} {protocol} {address}{name}: {}",
        line.time,
        line.reason.as_deref().unwrap_or_default()
    )
}
