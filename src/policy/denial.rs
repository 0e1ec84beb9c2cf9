//! Why an attempt may not go out, or on what grounds it may: in words for people and for the
//! record.
//!
//! A denial that no rule made is built with [`Denial::because`], whichever part of the program
//! denies.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::net;

/// Why an attempt may not go out, in words for people and for the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// One line: `no rule allows it`, `rule "deny domain=x" forbids it`, `169.254.169.254 is
    /// link-local (169.254.0.0/16)`.
    pub reason: String,
    /// The deny rule that matched, if one did.
    pub rule: Option<String>,
    /// The rule text that would allow it, where one could.
    pub suggestion: Option<String>,
    /// How an approval could allow it; none where the want of a rule isn't all that is against it.
    pub approvable: Option<Box<Approvable>>,
}

/// What an approval for a denied attempt says besides its name or address, and its port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Approvable {
    /// The address to which the attempt's name leads, where a rule has to name that.
    pub at: Option<IpAddr>,
    /// Whether its method and path count, as rules for its target look at those.
    pub request: bool,
}

impl Denial {
    /// No rule is the cause, and none would change it.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            rule: None,
            suggestion: None,
            approvable: None,
        }
    }

    /// This deny rule forbids it. `remark`: what is to be added, with its comma.
    pub(super) fn by_rule(rule: &str, remark: &str) -> Self {
        Self {
            rule: Some(rule.to_owned()),
            ..Self::because(format!("rule \"deny {rule}\" forbids it{remark}"))
        }
    }

    /// The same for a name that has this address without DNS ([`super::Permit::names`]): a rule for
    /// it has to name the address.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Self {
        let suggestion = with_cidr(self.suggestion.as_deref(), address);
        let at = Some(address.to_canonical());
        let approvable = self.approvable.filter(|_| suggestion.is_some());
        Self {
            suggestion,
            approvable: approvable.map(|how| Box::new(Approvable { at, ..*how })),
            ..self
        }
    }

    /// The same, with the rule that would allow it, where there is one, and with how an approval could.
    pub(super) fn suggesting(self, suggestion: Option<String>, approvable: Approvable) -> Self {
        Self {
            approvable: suggestion.is_some().then(|| Box::new(approvable)),
            suggestion,
            ..self
        }
    }

    /// The same, where it leads to what no rule opens.
    #[must_use]
    pub fn for_good(self) -> Self {
        Self {
            suggestion: None,
            approvable: None,
            ..self
        }
    }

    /// The same, where whatever rule it suggests is for who writes the policy to decide.
    pub(super) fn beyond_approval(self) -> Self {
        Self {
            approvable: None,
            ..self
        }
    }
}

/// On what grounds an attempt may go out, in words for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// The rule that allowed it, as written (`observe` mode: `would deny: …`).
    pub rule: Arc<str>,
    /// In `observe` mode: the rule text that would allow it, where one could.
    pub suggestion: Option<Arc<str>>,
}

impl Grounds {
    /// A rule, or the name of what needs none.
    #[must_use]
    pub fn rule(rule: impl Into<Arc<str>>) -> Self {
        Self {
            rule: rule.into(),
            suggestion: None,
        }
    }

    /// The same for a name that has this address without DNS, as [`Denial::at`].
    pub(super) fn at(self, address: IpAddr) -> Self {
        let suggestion = with_cidr(self.suggestion.as_deref(), address).map(Arc::from);
        Self { suggestion, ..self }
    }

    /// `observe` mode lets it pass in spite of this.
    #[must_use]
    pub fn in_spite_of(denial: &Denial) -> Self {
        let suggestion = denial.suggestion.as_deref().map(Arc::from);
        Self {
            rule: format!("would deny: {}", denial.reason).into(),
            suggestion,
        }
    }
}

/// A suggested rule for a name that is to name the address, too; none where the address is never
/// open.
fn with_cidr(rule: Option<&str>, address: IpAddr) -> Option<String> {
    let range = IpNet::from(address.to_canonical());
    rule.filter(|_| net::can_be_named(&range))
        .map(|rule| format!("{rule} cidr={range}"))
}
