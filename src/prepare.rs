//! What `create` and the hook must find out about host and bundle, and the cleanup that comes
//! first.

mod devices;
pub(crate) mod engines;
pub(crate) mod gateways;
pub(crate) mod host_side;
pub(crate) mod identity;
pub(crate) mod joined;
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod namespaces;
pub(crate) mod pod;
pub(crate) mod proof;
pub(crate) mod resolvers;
pub(crate) mod sweep;
pub(crate) mod trust;
