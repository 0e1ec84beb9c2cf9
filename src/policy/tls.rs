//! What a policy says about TLS, compiled: when it is intercepted, and to which names never.
//!
//! Knows nothing of rules.

use super::domain::DomainPattern;
use super::host::Hostname;
use super::source::{Intercept, TlsSource};
use super::text::Mistake;

/// What a policy says about TLS, compiled.
#[derive(Debug, Clone)]
pub(super) struct TlsPolicy {
    pub(super) intercept: Intercept,
    passthrough: Vec<DomainPattern>,
}

impl TlsPolicy {
    /// Compiles it; the mistakes are added to `mistakes`.
    pub(super) fn compile(origin: &str, source: &TlsSource, mistakes: &mut Vec<Mistake>) -> Self {
        let mut pattern = |text: &String| {
            let mistake = |message| Mistake {
                origin: origin.to_owned(),
                line: None,
                key: "tls.passthrough".to_owned(),
                message,
            };
            DomainPattern::parse(text)
                .map_err(|message| mistakes.push(mistake(message)))
                .ok()
        };
        Self {
            intercept: source.intercept,
            passthrough: source.passthrough.iter().filter_map(&mut pattern).collect(),
        }
    }

    /// Whether TLS to this name is never intercepted.
    pub(super) fn passes_through(&self, name: &Hostname) -> bool {
        self.passthrough.iter().any(|pattern| pattern.matches(name))
    }
}
