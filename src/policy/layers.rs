//! The host's layers over every policy (`ceiling.d`): they narrow, and open nothing.
//!
//! Owns what a layer says of an attempt. Invariant: what passes is allowed by the policy and, by itself, by
//! each layer, as if it were a policy: where the name leads, too, and private addresses only where it names
//! them. That holds in `observe` mode as well, which lets pass what a policy denies, not what the host
//! does. A layer without rules that allow bounds by its denials alone.

use std::sync::Arc;

use super::attempt::Attempt;
use super::denial::Denial;
use super::host::Hostname;
use super::permit::{Bound, PermittedTarget, RuleChain};
use super::rule::Rule;
use super::source::LayerSource;
use super::text::{self, List, Mistake};

/// A compiled layer.
#[derive(Debug, Clone)]
struct Layer {
    name: Arc<str>,
    allow: Option<Vec<Arc<Rule>>>,
    deny: Vec<Arc<Rule>>,
}

/// What of an attempt is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// A connection on which some request has yet to be said.
    Connection,
}

impl Extent {
    fn has(self, rule: &Rule) -> bool {
        self == Self::Whole || !rule.reads_request()
    }
}

impl Layer {
    fn compile(source: &LayerSource, mistakes: &mut Vec<Mistake>) -> Self {
        let mut rules = |list, texts: &[String]| text::compile(&source.name, list, texts, mistakes);
        Self {
            name: source.name.as_str().into(),
            allow: source
                .allow
                .as_deref()
                .map(|texts| rules(List::Allow, texts)),
            deny: rules(List::Deny, &source.deny),
        }
    }

    /// What it leaves of an attempt that leads to this target.
    ///
    /// # Errors
    /// Its denial.
    fn bound(
        &self,
        attempt: &Attempt<'_>,
        target: &PermittedTarget,
        extent: Extent,
    ) -> Result<Bound, Denial> {
        let denies = || self.deny.iter().filter(|rule| extent.has(rule));
        if let Some(rule) = denies().find(|rule| rule.forbids(attempt)) {
            return Err(self.denial(rule));
        }
        let fits = |rule: &Rule| {
            let request = extent == Extent::Connection || rule.allows_request(attempt);
            rule.allows_port(attempt.protocol, attempt.destination.port()) && request
        };
        let leads = |rule: &Rule| match target {
            PermittedTarget::Name(name) => rule.allows_name(name),
            PermittedTarget::Address(address) => rule.allows_address(*address),
        };
        let chains = |wanted: &dyn Fn(&Rule) -> bool| -> Option<Vec<RuleChain>> {
            let rules = self.allow.as_ref()?.iter().filter(|rule| wanted(rule));
            Some(rules.map(|rule| RuleChain(vec![rule.clone()])).collect())
        };
        let allowing = chains(&|rule| leads(rule) && fits(rule));
        if allowing.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.unallowed());
        }
        let opens = |rule: &Rule| rule.is_for_addresses() && fits(rule);
        Ok(Bound {
            layer: self.name.clone(),
            chains: allowing,
            openings: chains(&opens).unwrap_or_default(),
            forbidden: denies()
                .filter(|rule| rule.forbids_but_for_address(attempt))
                .cloned()
                .collect(),
        })
    }

    fn lookup(&self, name: &Hostname) -> Result<(), Denial> {
        if let Some(rule) = self.deny.iter().find(|rule| rule.forbids_name(name)) {
            return Err(self.denial(rule));
        }
        let allows = |rules: &Vec<Arc<Rule>>| rules.iter().any(|rule| rule.allows_name(name));
        match self.allow.as_ref().is_none_or(allows) {
            true => Ok(()),
            false => Err(self.unallowed()),
        }
    }

    fn denial(&self, rule: &Rule) -> Denial {
        Denial::by_rule(rule.text(), &format!(", in the host's {}", self.name))
    }

    fn unallowed(&self) -> Denial {
        Denial::because(format!(
            "no rule of the host's {} allows it, which bounds every policy",
            self.name
        ))
    }
}

/// All layers of a policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers(Vec<Layer>);

impl Layers {
    /// Compiles them; mistakes are added to `mistakes`.
    pub(super) fn compile(sources: &[LayerSource], mistakes: &mut Vec<Mistake>) -> Self {
        let layer = |source| Layer::compile(source, mistakes);
        Self(sources.iter().map(layer).collect())
    }

    /// What all of them leave of an attempt that leads to this target.
    ///
    /// # Errors
    /// A layer's denial.
    pub(super) fn bounds(
        &self,
        attempt: &Attempt<'_>,
        target: &PermittedTarget,
        extent: Extent,
    ) -> Result<Arc<Vec<Bound>>, Denial> {
        let bound = |layer: &Layer| layer.bound(attempt, target, extent);
        let bounds: Vec<Bound> = self.0.iter().map(bound).collect::<Result<_, _>>()?;
        Ok(Arc::new(bounds))
    }

    /// Whether all of them leave a name to be looked up.
    ///
    /// # Errors
    /// A layer's denial.
    pub(super) fn lookup(&self, name: &Hostname) -> Result<(), Denial> {
        self.0.iter().try_for_each(|layer| layer.lookup(name))
    }

    /// Whether one leaves only what it lists.
    pub(super) fn is_listed(&self) -> bool {
        self.0.iter().any(|layer| layer.allow.is_some())
    }

    /// Their rules that allow.
    pub(super) fn allow(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter().flat_map(|layer| layer.allow.iter().flatten())
    }

    /// Their rules that deny.
    pub(super) fn deny(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.0.iter().flat_map(|layer| &layer.deny)
    }
}
