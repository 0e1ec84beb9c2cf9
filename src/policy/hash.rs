//! The hash of a policy: records name the policy in force by it, and it shows whether the host's
//! files have changed since.

use sha2::{Digest, Sha256};

use super::source::PolicySource;

/// Grows when the same rules come to mean something else.
const VERSION: &str = "boundary policy 2";

impl PolicySource {
    /// The SHA-256 of name, mode, rules in their order (those of the host's layers, too) and what TLS is
    /// intercepted, in hexadecimal. How a file is written otherwise doesn't count, nor how many blanks are
    /// in a rule, nor which file it stands in, nor the note, by which nothing is decided.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            // With its length in front, no part can be taken for the beginning of the next.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        };
        for part in [VERSION, &self.name, &self.mode.to_string()] {
            add(part);
        }
        for rules in [&self.allow, &self.deny, &self.annotated, &self.ceiling] {
            add(&rules.len().to_string());
            for rule in rules {
                add(&with_single_blanks(rule));
            }
        }
        add(self.tls.intercept.name());
        add(&self.tls.passthrough.len().to_string());
        for name in &self.tls.passthrough {
            add(name);
        }
        for layer in &self.layers {
            let allowed = layer.allow.as_deref();
            add(&layer.name);
            add(if allowed.is_some() { "allow" } else { "" });
            for rules in [allowed.unwrap_or_default(), &layer.deny] {
                add(&rules.len().to_string());
                rules.iter().for_each(|rule| add(&with_single_blanks(rule)));
            }
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

fn with_single_blanks(rule: &str) -> String {
    rule.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::text::parse_file;
    use crate::policy::{Intercept, LayerSource, Mode};

    fn source() -> PolicySource {
        let rules = |names: &[&str]| names.iter().map(|name| format!("domain={name}")).collect();
        PolicySource {
            name: "npm".to_owned(),
            mode: Mode::Enforce,
            allow: rules(&["a.test", "b.test"]),
            deny: rules(&["c.test"]),
            annotated: rules(&["d.test"]),
            ceiling: rules(&["e.test"]),
            note: None,
            ..PolicySource::default()
        }
    }

    fn layer(name: &str, allow: Option<&[&str]>) -> LayerSource {
        LayerSource {
            name: name.to_owned(),
            allow: allow.map(|rules| rules.iter().map(ToString::to_string).collect()),
            ..LayerSource::default()
        }
    }

    #[test]
    fn any_change_of_what_is_decided_changes_it() {
        let changes: [fn(&mut PolicySource); 16] = [
            |source| source.name = "other".to_owned(),
            |source| source.mode = Mode::Observe,
            |source| source.allow.reverse(),
            |source| drop(source.allow.pop()),
            |source| source.allow[0].push_str(" port=8443"),
            |source| source.deny.append(&mut source.allow),
            |source| source.annotated.clear(),
            |source| std::mem::swap(&mut source.annotated, &mut source.ceiling),
            |source| source.ceiling.push("domain=f.test".to_owned()),
            |source| source.tls.intercept = Intercept::Always,
            |source| source.tls.passthrough.push("a.test".to_owned()),
            |source| source.layers.push(layer("a", None)),
            |source| source.layers.push(layer("b", None)),
            |source| source.layers.push(layer("a", Some(&[]))),
            |source| source.layers.push(layer("a", Some(&["domain=a.test"]))),
            |source| source.layers = vec![layer("a", None), layer("b", None)],
        ];
        let changed = changes.map(|change| {
            let mut source = source();
            change(&mut source);
            source.hash()
        });
        let mut all = changed.to_vec();
        all.push(source().hash());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), changes.len() + 1);
    }

    #[test]
    fn it_is_the_same_for_ever() {
        assert_eq!(
            source().hash(),
            "ebe6efbde7de6f0c853a5e902cfc59cb047c8aaceeaa2ac3c1f586887fb7aca6"
        );
        assert_eq!(
            PolicySource {
                note: Some("a note".to_owned()),
                ..source()
            }
            .hash(),
            source().hash()
        );
    }

    #[test]
    fn how_a_file_is_written_does_not_change_it() {
        let of = |text: &str| {
            let file = parse_file("npm.yaml", text).expect("a policy");
            PolicySource {
                allow: file.allow(),
                deny: file.deny(),
                ..source()
            }
            .hash()
        };
        let plain = of("allow:\n- domain=a.test port=443\n");
        assert_eq!(
            of("# for npm\n\nallow:\n\n  - \"domain=a.test   port=443\" # why\n"),
            plain
        );
        assert_ne!(of("allow:\n- domain=a.test port=444\n"), plain);
    }
}
