//! The jail's type `notify`: no namespace, no capability. A supervisor makes the command's sockets,
//! and connects them.

pub mod filter;
pub mod address;
pub mod request;
pub mod loopback;
pub mod message;
mod sockets;
mod udp;
mod unix_sockets;
