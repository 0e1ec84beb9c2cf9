//! How much of a connection is read before it is decided: one table, from the rules that fit it and
//! what its client has said to what happens next. Pure.
//!
//! | what fits | nothing said yet | not clear yet | … for a moment | TLS | a request, for any server | neither |
//! |---|---|---|---|---|---|---|
//! | any bytes: only the address is asked | pass | | | | | |
//! | any protocol: the name, or a denial, is asked | dial and hear the server | wait | send on | judge its name | judge each request | judge what the address is |
//! | the web's alone | wait | wait | wait | judge its name | judge each request | the same: no rule allows it |
//!
//! Invariant: what is sent on before it is clear has no line end behind its first line, so no
//! server has a request in it.

use std::time::Duration;

use crate::policy::{Denials, Permit};

/// For how long a client must be silent for what it said to be sent on although it could still
/// become a request. Clients that say a few letters and wait for the answer (ZooKeeper's `ruok`)
/// notice no more.
pub(super) const MOMENT: Duration = Duration::from_millis(300);

/// What rules could fit a connection.
#[derive(Debug)]
pub(super) enum Fits {
    /// Rules for its address alone allow whatever is said on it, and none could deny that.
    AnyBytes(Box<Permit>),
    /// Rules may allow any protocol, but a request or a hello could name what none allows, or some
    /// denies. What must not pass as something else.
    AnyProtocol(Denials),
    /// Only rules for HTTP and TLS.
    Web,
}

impl Fits {
    /// What must not pass as something else, because some server could take it for a request.
    pub(super) fn pretences(&self) -> Denials {
        match self {
            Self::AnyProtocol(pretences) => *pretences,
            Self::AnyBytes(_) | Self::Web => Denials::None,
        }
    }
}

/// What a client has said, as far as it is clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Not a byte.
    Nothing,
    /// It could still become a request.
    Unclear,
    /// The same, and nothing more came for [`MOMENT`].
    UnclearForAMoment,
    /// A part of what could become a hello in TLS.
    PartOfHello,
    /// TLS.
    Tls,
    /// What some server could take for a request.
    Request,
    /// Neither.
    Neither,
    /// What could hide either, or is HTTP in a version that there isn't.
    Refused,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Every byte passes unread from now on, both ways.
    Pass,
    /// The server is dialled and heard; the client's bytes wait.
    DialAndHear,
    /// Its bytes wait until there are more.
    Wait,
    /// What there is goes to the server, and more is read.
    SendOn,
    /// The name in the hello is decided about; then every byte passes.
    JudgeName,
    /// Each request is decided about, to the connection's end.
    JudgeRequests,
    /// The name that the container resolved to the address is decided about, or the address; then
    /// every byte passes.
    JudgeAddress,
    /// Nothing passes.
    Deny,
}

/// The table.
pub(super) fn next(fits: &Fits, heard: Heard) -> Next {
    match (fits, heard) {
        (Fits::AnyBytes(_), _) => Next::Pass,
        (_, Heard::Tls) => Next::JudgeName,
        (_, Heard::Request) => Next::JudgeRequests,
        (_, Heard::Neither) => Next::JudgeAddress,
        (_, Heard::Refused) => Next::Deny,
        (_, Heard::PartOfHello | Heard::Unclear) => Next::Wait,
        (Fits::AnyProtocol(_), Heard::Nothing) => Next::DialAndHear,
        (Fits::AnyProtocol(_), Heard::UnclearForAMoment) => Next::SendOn,
        (Fits::Web, Heard::Nothing | Heard::UnclearForAMoment) => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Policy, PolicySource};

    fn any_bytes() -> Fits {
        let source = PolicySource {
            allow: vec!["cidr=192.0.2.0/24".to_owned()],
            ..PolicySource::default()
        };
        let policy = Policy::compile(&source).unwrap();
        let permit = policy.allows_unread("192.0.2.1:80".parse().unwrap());
        Fits::AnyBytes(Box::new(permit.unwrap()))
    }

    fn heard() -> impl Strategy<Value = Heard> {
        prop::sample::select(vec![
            Heard::Nothing,
            Heard::Unclear,
            Heard::UnclearForAMoment,
            Heard::PartOfHello,
            Heard::Tls,
            Heard::Request,
            Heard::Neither,
            Heard::Refused,
        ])
    }

    fn denials() -> impl Strategy<Value = Denials> {
        prop::sample::select(vec![Denials::None, Denials::ByName, Denials::ByRequest])
    }

    proptest! {
        #[test]
        fn what_no_byte_could_decide_passes_and_nothing_else_passes_unjudged(
            heard in heard(), denials in denials(),
        ) {
            prop_assert_eq!(next(&any_bytes(), heard), Next::Pass);
            for fits in [Fits::AnyProtocol(denials), Fits::Web] {
                prop_assert_ne!(next(&fits, heard), Next::Pass);
            }
        }

        #[test]
        fn a_name_or_a_request_is_judged_whatever_else_is_allowed(denials in denials()) {
            for fits in [Fits::AnyProtocol(denials), Fits::Web] {
                prop_assert_eq!(next(&fits, Heard::Tls), Next::JudgeName);
                prop_assert_eq!(next(&fits, Heard::Request), Next::JudgeRequests);
                prop_assert_eq!(next(&fits, Heard::Refused), Next::Deny);
                prop_assert_eq!(next(&fits, Heard::PartOfHello), Next::Wait);
            }
        }

        #[test]
        fn under_rules_for_the_web_alone_no_server_hears_what_is_not_judged(heard in heard()) {
            prop_assert!(!matches!(
                next(&Fits::Web, heard),
                Next::Pass | Next::DialAndHear | Next::SendOn
            ));
        }
    }
}
