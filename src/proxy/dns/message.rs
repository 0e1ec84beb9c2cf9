//! The form of DNS messages that both sides share: the container's and the resolvers'.

/// The largest message we send or take by UDP: no fragmentation on any usual path (DNS flag day
/// 2020).
pub const UDP_PAYLOAD: u16 = 1232;

/// A message as it travels in a stream: its length before it (RFC 1035, 4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(message.iter().take(length.into()));
    bytes
}
