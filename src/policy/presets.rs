//! Presets: policies' parts that ship with the program, for hosts that many need. Dated, since such hosts
//! change; narrowed by method and path where that can be; and hosts at which anybody can store something
//! are marked.
//!
//! No package registry is among them: an administrator keeps those that are used in `presets.d`.

/// Each by its name.
const PRESETS: [(&str, &str); 13] = [
    ("anthropic", include_str!("presets/anthropic.yaml")),
    ("bitbucket", include_str!("presets/bitbucket.yaml")),
    ("certificates", include_str!("presets/certificates.yaml")),
    ("claude-code", include_str!("presets/claude-code.yaml")),
    ("codex", include_str!("presets/codex.yaml")),
    (
        "container-registries",
        include_str!("presets/container-registries.yaml"),
    ),
    ("docker-hub", include_str!("presets/docker-hub.yaml")),
    ("gemini", include_str!("presets/gemini.yaml")),
    ("github", include_str!("presets/github.yaml")),
    ("gitlab", include_str!("presets/gitlab.yaml")),
    ("llm-apis", include_str!("presets/llm-apis.yaml")),
    ("openai", include_str!("presets/openai.yaml")),
    ("toolchains", include_str!("presets/toolchains.yaml")),
];

/// The text of the preset of this name.
#[must_use]
pub fn preset(name: &str) -> Option<&'static str> {
    let found = PRESETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// All presets: the name, and the text, which says in its first line what it is for and in its second of
/// when it is.
pub fn presets() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::text::{Found, parse_whole};
    use crate::policy::{Hostname, Policy, PolicyName, advice, shared};

    #[test]
    fn each_is_a_policy_that_says_what_it_is_for_and_of_when() {
        let library = |name: &PolicyName| {
            Ok(preset(name.as_str()).map(|content| Found {
                origin: name.to_string(),
                name: name.to_string(),
                content: content.into(),
            }))
        };
        for (name, text) in presets() {
            assert!(PolicyName::parse(name).is_ok(), "{name}");
            let mut lines = text.lines();
            let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
            assert!(first.starts_with("# ") && first.len() > 10, "{name}");
            assert!(second.starts_with("# As of 2026-"), "{name}: {second}");
            let file = parse_whole(name, text, &library);
            let file = file.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            assert!(!file.allow().is_empty() && file.deny().is_empty(), "{name}");
            assert_eq!(advice(name, &file), [], "{name}");
            assert!(Policy::compile(&file.source(name.to_owned())).is_ok());
        }
    }

    #[test]
    fn hosts_that_anybody_can_write_to_are_marked() {
        let mut marked = 0;
        for (preset, text) in presets() {
            for line in text.lines().filter(|line| line.contains("domain=")) {
                let rule = line.split("domain=").nth(1).unwrap();
                let names = rule.split([' ', '#']).next().unwrap().split(',');
                let reads_alone = line.contains("path=");
                let names = names.filter_map(|name| Hostname::parse(name).ok());
                for name in names.filter(shared::is_shared) {
                    assert!(reads_alone || line.contains("# shared"), "{preset}: {name}");
                    marked += 1;
                }
            }
        }
        assert!(marked >= 4, "the test sees none");
    }
}
