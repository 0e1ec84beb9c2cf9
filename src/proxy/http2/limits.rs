//! What a connection in HTTP/2 and its streams may have, and what they take.

/// What a connection takes besides its socket and its window: what is read of a frame and written
/// of several, both tables of header compression, and the library's own.
pub(super) const CONNECTION: usize = 64 * 1024;
/// What a stream takes besides its head and its bodies: its state on both connections and the record.
pub(super) const STREAM: usize = 8 * 1024;
/// What a field of a head takes besides its name and its value: its places in the library's table.
pub(super) const FIELD: usize = 128;
/// Streams of one client's connection at a time.
pub(super) const STREAMS: u32 = 100;
/// The longest head, as RFC 9113 6.5.2 counts it.
pub(super) const LONGEST_HEAD: u32 = 64 * 1024;
/// The most of one body that waits to be written to a connection.
pub(super) const SENT_AT_ONCE: usize = 128 * 1024;
/// Streams that a client may have reset before they were looked at.
pub(super) const RESET_EARLY: usize = 20;

/// How the library reads clients.
#[must_use]
pub fn as_server() -> h2::server::Builder {
    let mut server = h2::server::Builder::new();
    server
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LONGEST_HEAD)
        .max_send_buffer_size(SENT_AT_ONCE)
        .max_pending_accept_reset_streams(RESET_EARLY);
    server
}

/// How the library reads servers.
#[must_use]
pub fn as_client() -> h2::client::Builder {
    let mut client = h2::client::Builder::new();
    client
        .enable_push(false)
        .max_header_list_size(LONGEST_HEAD)
        .max_send_buffer_size(SENT_AT_ONCE);
    client
}
