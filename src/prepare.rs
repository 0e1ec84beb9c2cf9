//! What `create` and the hook must find out about host and bundle, and what they clear away before.

pub(crate) mod devices;
pub(crate) mod identity;
pub(crate) mod joined;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod proof;
pub(crate) mod resolvers;
pub(crate) mod sweep;
