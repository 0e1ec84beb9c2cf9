//! What a filter, which may have been taken over, says is pending: whatever that is, it is a word of its or
//! none, and a rule that is offered for it has no wildcard, is short, prints, and allows it.

#![no_main]

use boundary_shim::policy::rule::Rule;
use boundary_shim::policy::{ApprovalId, Policy, PolicySource};
use boundary_shim::proxy::keeper::ToKeeper;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ToKeeper::Pending { some, .. }) = ToKeeper::decode(bytes) else {
        return;
    };
    let source = PolicySource {
        allow: vec![
            "domain=a.test method=GET path=/x".to_owned(),
            "domain=*.b.test".to_owned(),
        ],
        deny: vec!["domain=deny.test".to_owned(), "cidr=10.9.0.0/16".to_owned()],
        ..PolicySource::default()
    };
    let policy = Policy::compile(&source).expect("it has no mistakes");
    for pending in some {
        let Some(rule) = policy.approval_for(&pending.attempt) else {
            continue;
        };
        assert!(rule.len() <= 1024 && !rule.contains('*'));
        assert!(rule.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(
            Rule::parse(&rule).expect("it is a rule").text().as_ref(),
            rule
        );
        assert_eq!(ApprovalId::of("c", &rule), ApprovalId::of("c", &rule));
        let mut allow = source.allow.clone();
        allow.push(rule);
        let with_it = PolicySource {
            allow,
            ..source.clone()
        };
        let with_it = Policy::compile(&with_it).expect("it has no mistakes");
        assert!(with_it.would_pass(&pending.attempt));
        assert!(with_it.approval_for(&pending.attempt).is_none());
    }
});
