//! The text of rules: of an annotation, of an option, of a line in a policy.

#![no_main]

use boundary_shim::policy::rule::{Rule, normalise_path};
use boundary_shim::policy::text::parse_list;
use boundary_shim::policy::{Hostname, Intercept, Policy, PolicySource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Rule::parse(text) {
        Ok(rule) => {
            let again = Rule::parse(rule.text()).expect("a rule's own text is a rule");
            assert_eq!(again.text(), rule.text());
            assert!(
                !rule
                    .text()
                    .contains(|letter: char| letter.is_ascii_control()),
                "it is one line"
            );
        }
        Err(mistakes) => assert!(!mistakes.is_empty()),
    }
    match parse_list("annotation", text, Intercept::Auto) {
        Ok(allow) => {
            Policy::compile(&PolicySource {
                allow,
                ..PolicySource::default()
            })
            .expect("its rules were checked");
        }
        Err(mistakes) => assert!(
            mistakes
                .iter()
                .all(|mistake| !mistake.to_string().contains(char::is_control))
        ),
    }
    if let Some(path) = normalise_path(text) {
        assert_eq!(normalise_path(&path).as_ref(), Some(&path));
    }
    if let Ok(name) = Hostname::parse(text) {
        assert_eq!(Hostname::parse(name.as_str()).as_ref(), Ok(&name));
    }
});
