//! What is this connection? Bytes in, an answer out: found, certainly not, or need more. No I/O.

pub mod http;
pub mod tls;
