//! The table of coder/boundary's settings: each by its flag, its variables and its key in the file. The
//! rules, the file itself and the command have no row.

/// A setting that has one value.
#[derive(Debug)]
pub(super) struct Setting {
    /// Without its dashes.
    pub(super) flag: &'static str,
    /// The first that is set counts.
    pub(super) variables: &'static [&'static str],
    /// None where it can't stand in the file.
    pub(super) key: Option<&'static str>,
    /// Whether it is true or false.
    pub(super) is_switch: bool,
    pub(super) help: &'static str,
}

pub(super) const JAIL_TYPE: Setting = Setting {
    flag: "jail-type",
    variables: &["BOUNDARY_JAIL_TYPE"],
    key: Some("jail_type"),
    is_switch: false,
    help: "nsjail, landjail, notify, or auto: nsjail, else notify (default: auto; BOUNDARY_JAIL_TYPE)",
};
pub(super) const NO_USER_NAMESPACE: Setting = Setting {
    flag: "no-user-namespace",
    variables: &["BOUNDARY_NO_USER_NAMESPACE"],
    key: Some("no_user_namespace"),
    is_switch: true,
    help: "Use the caller's CAP_SYS_ADMIN and CAP_NET_ADMIN instead of a user namespace",
};
pub(super) const LOG_LEVEL: Setting = Setting {
    flag: "log-level",
    variables: &["BOUNDARY_LOG_LEVEL"],
    key: Some("log_level"),
    is_switch: false,
    help: "error, warn (what was denied), info (and what was allowed) or debug (default: warn; BOUNDARY_LOG_LEVEL)",
};
pub(super) const LOG_DIR: Setting = Setting {
    flag: "log-dir",
    variables: &["BOUNDARY_LOG_DIR"],
    key: Some("log_dir"),
    is_switch: false,
    help: "Write what was denied and allowed to a file in this directory rather than standard error",
};
pub(super) const DISABLE_AUDIT_LOGS: Setting = Setting {
    flag: "disable-audit-logs",
    variables: &["DISABLE_AUDIT_LOGS"],
    key: Some("disable_audit_logs"),
    is_switch: true,
    help: "Tell the workspace's agent nothing",
};
pub(super) const AUDIT_SOCKET: Setting = Setting {
    flag: "log-proxy-socket-path",
    variables: &[
        "CODER_AGENT_BOUNDARY_LOG_PROXY_SOCKET_PATH",
        "CODER_AGENT_FIREWALL_LOG_PROXY_SOCKET_PATH",
    ],
    key: None,
    is_switch: false,
    help: "The socket at which the workspace's agent listens for audit logs",
};
pub(super) const PROXY_PORT: Setting = Setting {
    flag: "proxy-port",
    variables: &["PROXY_PORT"],
    key: Some("proxy_port"),
    is_switch: false,
    help: "Not needed: no port is opened",
};
pub(super) const PPROF: Setting = Setting {
    flag: "pprof",
    variables: &["BOUNDARY_PPROF"],
    key: Some("pprof_enabled"),
    is_switch: true,
    help: "There is none",
};
pub(super) const PPROF_PORT: Setting = Setting {
    flag: "pprof-port",
    variables: &["BOUNDARY_PPROF_PORT"],
    key: Some("pprof_port"),
    is_switch: false,
    help: "There is none",
};
pub(super) const USE_REAL_DNS: Setting = Setting {
    flag: "use-real-dns",
    variables: &["BOUNDARY_USE_REAL_DNS"],
    key: Some("use_real_dns"),
    is_switch: true,
    help: "Not needed: names that rules allow are always resolved, others never",
};
pub(super) const SESSION_CORRELATION: Setting = Setting {
    flag: "enable-session-correlation",
    variables: &["BOUNDARY_SESSION_CORRELATION_ENABLED"],
    key: Some("session_correlation_enabled"),
    is_switch: true,
    help: "Refused: no headers are added to requests",
};
pub(super) const INJECT_TARGET: Setting = Setting {
    flag: "session-id-inject-target",
    variables: &["BOUNDARY_SESSION_ID_INJECT_TARGET"],
    key: Some("session_id_inject_targets"),
    is_switch: false,
    help: "Without session correlation, nothing",
};

/// All of them, in the order of the help.
pub(super) const SETTINGS: [&Setting; 12] = [
    &JAIL_TYPE,
    &NO_USER_NAMESPACE,
    &LOG_LEVEL,
    &LOG_DIR,
    &DISABLE_AUDIT_LOGS,
    &AUDIT_SOCKET,
    &PROXY_PORT,
    &PPROF,
    &PPROF_PORT,
    &USE_REAL_DNS,
    &SESSION_CORRELATION,
    &INJECT_TARGET,
];
