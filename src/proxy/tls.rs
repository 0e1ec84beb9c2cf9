//! TLS that is intercepted: certificates of the container's own authority for its clients, and
//! verified connections to the servers.

pub mod trust;
