//! How questions for denied names are answered: whether with the address that stands for them.
//!
//! Owns when that is, not what the address is. Invariant: the answer says nothing of the name, which
//! nobody is asked for, and nothing is remembered of it.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::RecordType;

use super::question::Question;
use crate::policy::{DENIED_V4, DENIED_V6, DeniedNames, GivenNames, never_answered};
use crate::proxy::egress::Egress;

/// What decides.
#[derive(Debug)]
pub struct DeniedAnswers {
    /// What the administrator wants.
    pub setting: DeniedNames,
    /// Which search list the container has.
    pub given: Arc<GivenNames>,
    /// Where its routes lead.
    pub egress: Arc<Egress>,
}

/// What a denied name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Has {
    /// It doesn't exist.
    Nothing,
    /// It exists, without an address of this family.
    NoneOfFamily,
    /// This address.
    Address(IpAddr),
}

impl DeniedAnswers {
    /// What the name of this question has: an address of each family by which the container has a
    /// way to anywhere, so that a connection gets to us and is told why.
    pub(super) fn of(&self, question: &Question) -> Has {
        let Some(name) = question.hostname() else {
            return Has::Nothing;
        };
        let search = &self.given.search;
        if self.setting == DeniedNames::Nxdomain || never_answered(&name, search) {
            return Has::Nothing;
        }
        let ways = self.egress.interfaces().beyond;
        match question.asked.query_type {
            RecordType::A if ways.v4 => Has::Address(DENIED_V4.into()),
            RecordType::AAAA if ways.v6 => Has::Address(DENIED_V6.into()),
            RecordType::A | RecordType::AAAA if ways.v4 || ways.v6 => Has::NoneOfFamily,
            _ => Has::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;

    use super::*;
    use crate::packets::agreed::DUMMY;
    use crate::policy::{Exit, Hostname};
    use crate::proxy::egress::{Beyond, Interfaces};

    fn of(setting: DeniedNames, (v4, v6): (bool, bool), name: &str, kind: RecordType) -> Has {
        let egress = Egress::by(Exit::Uplink);
        egress.learn(Interfaces {
            beyond: Beyond { v4, v6 },
            ..Interfaces::default()
        });
        let given = GivenNames {
            search: vec![Hostname::parse("corp.net").unwrap()],
            ..GivenNames::default()
        };
        let answers = DeniedAnswers {
            setting,
            given: Arc::new(given),
            egress: Arc::new(egress),
        };
        answers.of(&Question {
            id: 7,
            recursion_desired: true,
            asked: Query::query(Name::from_ascii(name).unwrap(), kind),
            payload: None,
        })
    }

    #[test]
    fn a_denied_name_has_addresses_of_the_families_that_lead_anywhere() {
        use RecordType::{A, AAAA, HTTPS, TXT};
        let (v4, v6) = (
            Has::Address(DENIED_V4.into()),
            Has::Address(DENIED_V6.into()),
        );
        let all = (true, true);
        for (setting, ways, name, kind, expected) in [
            (DeniedNames::Nxdomain, all, "evil.dev.", A, Has::Nothing),
            (DeniedNames::Answer, all, "evil.dev.", A, v4),
            (DeniedNames::Answer, all, "eViL.dev.", AAAA, v6),
            (DeniedNames::Answer, (true, false), "evil.dev.", A, v4),
            (
                DeniedNames::Answer,
                (true, false),
                "evil.dev.",
                AAAA,
                Has::NoneOfFamily,
            ),
            (
                DeniedNames::Answer,
                (false, true),
                "evil.dev.",
                A,
                Has::NoneOfFamily,
            ),
            (
                DeniedNames::Answer,
                (false, false),
                "evil.dev.",
                A,
                Has::Nothing,
            ),
            (DeniedNames::Answer, all, "evil.dev.", TXT, Has::Nothing),
            (DeniedNames::Answer, all, "evil.dev.", HTTPS, Has::Nothing),
            (DeniedNames::Answer, all, "evil.", A, Has::Nothing),
            (
                DeniedNames::Answer,
                all,
                "evil.dev.corp.net.",
                A,
                Has::Nothing,
            ),
            (DeniedNames::Answer, all, "evil.test.", A, Has::Nothing),
            (DeniedNames::Answer, all, "a\\.b.dev.", A, Has::Nothing),
        ] {
            assert_eq!(
                of(setting, ways, name, kind),
                expected,
                "{setting:?} {ways:?} {name} {kind}"
            );
        }
    }

    /// Two parts know it, neither of which may know the other.
    #[test]
    fn the_address_is_the_gateways_own() {
        assert_eq!(DENIED_V4, DUMMY);
    }
}
