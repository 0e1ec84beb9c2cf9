//! The host's configuration file, `/etc/boundary/config.toml`: what an administrator decides for every container.
