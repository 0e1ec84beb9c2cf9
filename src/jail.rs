//! The jail: one command whose network is filtered, where no runtime can be installed.

pub mod notify;
