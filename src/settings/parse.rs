//! Parses the configuration file's text into [`Settings`]: every key is checked, and every mistake
//! is reported with its line.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::{
    Annotations, BoundaryMounts, ContainerResolvers, HostNetwork, NetDevices, PodCapabilities,
    PodNesting, PreservedSockets, Privileged, RdmaDevices, Reload, Settings, UserNamespace,
};
use crate::escape::excerpt;
use crate::policy::text::Mistake;
use crate::policy::{DeniedNames, Mode, PolicyName};
use crate::seccomp::tier::Tier;

/// Mistakes that are listed before the rest is left out.
const MAX_MISTAKES: usize = 50;
/// Longest key of a label, in bytes: a prefix that is a name of DNS, and a name.
const MAX_LABEL: usize = 253 + 1 + 63;
/// Longest `denied-note`, in bytes.
const MAX_NOTE: usize = 512;
/// The largest number that may be set: more than any filter can do in a second.
const LARGEST_NUMBER: u32 = 1_000_000;
/// Port of DNS.
const DNS: u16 = 53;

/// Reads the settings from a file's text; `origin` names it in mistakes.
///
/// # Errors
/// Every mistake in it, each with its line; of very many, the first.
pub fn parse(origin: &str, content: &str) -> Result<Settings, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(content);
    let mut reader = TextReader {
        origin,
        content,
        mistakes: Vec::new(),
    };
    for error in &errors {
        reader.mistake(
            error.span().map_or(0, |span| span.start),
            "",
            error.message().to_owned(),
        );
    }
    let mut settings = Settings::default();
    for (key, value) in table.get_ref() {
        reader.setting(key, value, &mut settings);
    }
    // The table is sorted by key; people read from top to bottom.
    reader.mistakes.sort_by_key(|mistake| mistake.line);
    if reader.mistakes.is_empty() {
        Ok(settings)
    } else {
        Err(reader.mistakes)
    }
}

type Key<'a> = Spanned<Cow<'a, str>>;
type Value<'a> = Spanned<DeValue<'a>>;

struct TextReader<'a> {
    origin: &'a str,
    content: &'a str,
    mistakes: Vec<Mistake>,
}

impl TextReader<'_> {
    fn setting(&mut self, key: &Key<'_>, value: &Value<'_>, settings: &mut Settings) {
        match key.get_ref().as_ref() {
            "runtime" => self.set(key, value, &mut settings.runtime, |text| {
                runtime(text).map(Some)
            }),
            "policy" => self.set(key, value, &mut settings.policy, PolicyName::parse),
            "reload" => {
                let words = [("manual", Reload::Manual), ("auto", Reload::Auto)];
                self.set_word(key, value, &mut settings.reload, words);
            }
            "resolvers" => self.set_list(key, value, &mut settings.resolvers, resolver),
            "extra-ca" => self.set_list(key, value, &mut settings.extra_ca, absolute),
            "container-resolvers" => {
                let words = [
                    ("known", ContainerResolvers::Known),
                    ("any", ContainerResolvers::Any),
                ];
                self.set_word(key, value, &mut settings.container_resolvers, words);
            }
            "preserved-sockets" => {
                let words = [
                    ("refuse", PreservedSockets::Refuse),
                    ("allow", PreservedSockets::Allow),
                ];
                self.set_word(key, value, &mut settings.preserved_sockets, words);
            }
            "audit-directory" => self.set(key, value, &mut settings.audit_directory, absolute),
            "record-labels" => self.set_list(key, value, &mut settings.record_labels, label),
            "audit-keep" => self.set(key, value, &mut settings.audit_keep, |text| {
                age(text).map(Some)
            }),
            "user-namespace" => {
                self.set(key, value, &mut settings.user_namespace, user_namespace);
            }
            "privileged" => {
                let words = [("refuse", Privileged::Refuse), ("allow", Privileged::Allow)];
                self.set_word(key, value, &mut settings.privileged, words);
            }
            "boundary-mounts" => {
                let words = [
                    ("refuse", BoundaryMounts::Refuse),
                    ("allow", BoundaryMounts::Allow),
                ];
                self.set_word(key, value, &mut settings.boundary_mounts, words);
            }
            "host-network" => {
                let words = [
                    ("filter", HostNetwork::Filter),
                    ("refuse", HostNetwork::Refuse),
                ];
                self.set_word(key, value, &mut settings.host_network, words);
            }
            "net-devices" => {
                let words = [("refuse", NetDevices::Refuse), ("adopt", NetDevices::Adopt)];
                self.set_word(key, value, &mut settings.net_devices, words);
            }
            "rdma-devices" => {
                let words = [
                    ("refuse", RdmaDevices::Refuse),
                    ("allow", RdmaDevices::Allow),
                ];
                self.set_word(key, value, &mut settings.rdma_devices, words);
            }
            "nesting" => self.set(key, value, &mut settings.nesting, nesting),
            "pod-nesting" => self.pod_nesting(key, value, &mut settings.pod_nesting),
            "pod-capabilities" => {
                let words = [
                    ("refuse", PodCapabilities::Refuse),
                    ("drop", PodCapabilities::Drop),
                ];
                self.set_word(key, value, &mut settings.pod_capabilities, words);
            }
            "proxy-memory" => self.set(key, value, &mut settings.proxy_memory, memory),
            "dns-rate-limit" => self.set_number(key, value, &mut settings.dns_rate_limit),
            "denied-names" => {
                let words = [DeniedNames::Nxdomain, DeniedNames::Answer];
                let words = words.map(|meant| (meant.name(), meant));
                self.set_word(key, value, &mut settings.denied_names, words);
            }
            "denied-note" => self.set(key, value, &mut settings.denied_note, |text| {
                note(text).map(Some)
            }),
            "log-level" => self.set(key, value, &mut settings.log_level, level),
            "annotations" => match value.get_ref() {
                DeValue::Table(table) => {
                    for (key, value) in table {
                        self.annotation(key, value, &mut settings.annotations);
                    }
                }
                _ => self.mistake(
                    value.span().start,
                    "annotations",
                    "expected a table: [annotations]",
                ),
            },
            unknown => self.unknown(key, unknown, &TOP),
        }
    }

    fn pod_nesting(&mut self, key: &Key<'_>, value: &Value<'_>, to: &mut PodNesting) {
        if value.get_ref().as_array().is_none() {
            return self.set(key, value, to, |text| match text {
                "off" => Ok(PodNesting::Off),
                "all" => Ok(PodNesting::All),
                _ => Err("expected \"off\", \"all\" or a list of Kubernetes namespaces".to_owned()),
            });
        }
        let mut namespaces = Vec::new();
        self.set_list(key, value, &mut namespaces, kubernetes_namespace);
        *to = PodNesting::Namespaces(namespaces);
    }

    fn annotation(&mut self, key: &Key<'_>, value: &Value<'_>, annotations: &mut Annotations) {
        match key.get_ref().as_ref() {
            "policies" => self.set_list(key, value, &mut annotations.policies, PolicyName::parse),
            "modes" => self.set_list(key, value, &mut annotations.modes, |text| {
                Mode::parse(text).ok_or_else(|| "expected \"enforce\" or \"observe\"".to_owned())
            }),
            "ceiling" => {
                let mut ceiling = None;
                self.set(key, value, &mut ceiling, |text| {
                    PolicyName::parse(text).map(Some)
                });
                annotations.ceiling = ceiling;
            }
            unknown => self.unknown(key, unknown, &["policies", "modes", "ceiling"]),
        }
    }

    fn set<T>(
        &mut self,
        key: &Key<'_>,
        value: &Value<'_>,
        to: &mut T,
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        let text = value
            .get_ref()
            .as_str()
            .ok_or_else(|| "expected a string in quotes".to_owned());
        match text.and_then(read) {
            Ok(meant) => *to = meant,
            Err(error) => self.mistake(value.span().start, key.get_ref(), error),
        }
    }

    /// One of two words.
    fn set_word<T: Copy>(
        &mut self,
        key: &Key<'_>,
        value: &Value<'_>,
        to: &mut T,
        words: [(&str, T); 2],
    ) {
        self.set(key, value, to, |text| {
            let meant = words.iter().find(|(word, _)| *word == text);
            meant.map(|(_, meaning)| *meaning).ok_or_else(|| {
                let [(first, _), (second, _)] = words;
                format!("expected \"{first}\" or \"{second}\"")
            })
        });
    }

    fn set_number(&mut self, key: &Key<'_>, value: &Value<'_>, to: &mut NonZeroU32) {
        let number = value.get_ref().as_integer().and_then(|number| {
            let number = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
            NonZeroU32::new(number).filter(|number| number.get() <= LARGEST_NUMBER)
        });
        match number {
            Some(number) => *to = number,
            None => self.mistake(
                value.span().start,
                key.get_ref(),
                format!("expected a whole number from 1 to {LARGEST_NUMBER}, without quotes"),
            ),
        }
    }

    fn set_list<T>(
        &mut self,
        key: &Key<'_>,
        value: &Value<'_>,
        to: &mut Vec<T>,
        read: impl Fn(&str) -> Result<T, String>,
    ) {
        let Some(items) = value.get_ref().as_array() else {
            return self.mistake(
                value.span().start,
                key.get_ref(),
                "expected a list of strings: [\"…\", \"…\"]",
            );
        };
        to.clear();
        for item in items.iter() {
            let text = item
                .get_ref()
                .as_str()
                .ok_or_else(|| "expected a string in quotes".to_owned());
            match text.and_then(&read) {
                Ok(meant) => to.push(meant),
                Err(error) => self.mistake(item.span().start, key.get_ref(), error),
            }
        }
    }

    fn unknown(&mut self, key: &Key<'_>, name: &str, known: &[&str]) {
        self.mistake(
            key.span().start,
            name,
            format!("unknown key (expected one of {})", known.join(", ")),
        );
    }

    fn mistake(&mut self, at: usize, key: &str, message: impl Into<String>) {
        if self.mistakes.len() == MAX_MISTAKES {
            return;
        }
        let before = self.content.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let (origin, key) = (self.origin.to_owned(), excerpt(key));
        self.mistakes.push(Mistake {
            origin,
            line: Some(line),
            key,
            message: message.into(),
        });
    }
}

const TOP: [&str; 25] = [
    "runtime",
    "policy",
    "reload",
    "resolvers",
    "extra-ca",
    "container-resolvers",
    "preserved-sockets",
    "audit-directory",
    "record-labels",
    "audit-keep",
    "user-namespace",
    "privileged",
    "boundary-mounts",
    "host-network",
    "net-devices",
    "rdma-devices",
    "nesting",
    "pod-nesting",
    "pod-capabilities",
    "proxy-memory",
    "dns-rate-limit",
    "denied-names",
    "denied-note",
    "log-level",
    "annotations",
];

fn user_namespace(text: &str) -> Result<UserNamespace, String> {
    match text {
        "auto" => Ok(UserNamespace::Auto),
        "require" => Ok(UserNamespace::Require),
        "never" => Ok(UserNamespace::Never),
        _ => Err("expected \"auto\", \"require\" or \"never\"".to_owned()),
    }
}

fn level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "error" => Ok(LevelFilter::Error),
        "warn" => Ok(LevelFilter::Warn),
        "info" => Ok(LevelFilter::Info),
        "debug" => Ok(LevelFilter::Debug),
        _ => Err("expected \"error\", \"warn\", \"info\" or \"debug\"".to_owned()),
    }
}

/// A sentence: it stands in answers in which a line is one.
fn note(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NOTE || text.contains(char::is_control) {
        return Err(format!(
            "expected one line of at most {MAX_NOTE} bytes, like \"Ask for access at #network.\""
        ));
    }
    Ok(text.to_owned())
}

fn runtime(text: &str) -> Result<PathBuf, String> {
    let is_name = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte));
    if is_name && !matches!(text, "." | "..") {
        Ok(PathBuf::from(text))
    } else {
        absolute(text)
    }
}

/// `seed` is for people who compare profiles, not for containers: it is wider than `nsjail` and
/// lets nothing more run.
fn nesting(text: &str) -> Result<Option<Tier>, String> {
    match Tier::parse(text) {
        _ if text == "none" => Ok(None),
        Some(tier) if tier != Tier::Seed => Ok(Some(tier)),
        _ => {
            Err("expected \"none\", \"nsjail\", \"unshare\", \"chromium\" or \"bwrap\"".to_owned())
        }
    }
}

/// What a gateway needs that does nothing (`FIXED` in proxy/budget.rs), and some to do something
/// with.
const LEAST_MEMORY: u64 = 16 << 20;

/// A size: a whole number of KiB, MiB or GiB.
fn memory(text: &str) -> Result<u64, String> {
    let wrong =
        || "expected a whole number of KiB, MiB or GiB, at least 16MiB: \"64MiB\"".to_owned();
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .ok_or_else(wrong)?;
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let size = number
        .parse::<u64>()
        .ok()
        .filter(|_| plain)
        .and_then(|number| number.checked_mul(*unit));
    // What the kernel is told is a signed number.
    size.filter(|size| (LEAST_MEMORY..=1 << 62).contains(size))
        .ok_or_else(wrong)
}

/// A time that passes. None at all would have records go with their containers.
fn age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text)
        .ok()
        .filter(|age| !age.is_zero());
    age.ok_or_else(|| "expected a duration: \"30d\", \"12h\"".to_owned())
}

/// A label of DNS (RFC 1123), as Kubernetes has it: a name with a typo would open nothing and say
/// nothing.
fn kubernetes_namespace(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = (1..=63).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    label
        .then(|| text.to_owned())
        .ok_or_else(|| "invalid name of a Kubernetes namespace".to_owned())
}

/// A label's key as engines write them, so that it can stand in the record as it is.
fn label(text: &str) -> Result<String, String> {
    let plain =
        (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| "invalid label key".to_owned())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let plain =
        text.starts_with('/') && text.split('/').all(|part| part != "..") && !text.contains('\0');
    plain
        .then(|| PathBuf::from(text))
        .ok_or_else(|| "expected an absolute path without ..".to_owned())
}

fn resolver(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, DNS));
    let address = address.or_else(|_| text.parse::<SocketAddr>());
    address
        .ok()
        .filter(|address| address.port() != 0)
        .ok_or_else(|| "expected an IP address, or address:port".to_owned())
}
