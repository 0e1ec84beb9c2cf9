//! Stand-in until the real settings are merged.
#![allow(missing_docs, clippy::allow_attributes, clippy::allow_attributes_without_reason)]
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostNetwork {
    #[default]
    Filter,
    Refuse,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserNamespace {
    #[default]
    Auto,
    Require,
    Never,
}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privileged {
    #[default]
    Refuse,
    Allow,
}
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    pub runtime: String,
    pub host_network: HostNetwork,
    pub user_namespace: UserNamespace,
    pub privileged: Privileged,
    pub resolvers: Vec<SocketAddr>,
    pub audit_directory: PathBuf,
}
impl Default for Settings {
    fn default() -> Self {
        Self {
            runtime: "runc".into(),
            host_network: HostNetwork::default(),
            user_namespace: UserNamespace::default(),
            privileged: Privileged::default(),
            resolvers: Vec::new(),
            audit_directory: "/var/log/boundary".into(),
        }
    }
}
pub fn load(path: Option<&Path>) -> anyhow::Result<Settings> {
    let path = path.unwrap_or(Path::new("/etc/boundary/config.toml"));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(toml::from_str(&text)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
        Err(error) => Err(error.into()),
    }
}
