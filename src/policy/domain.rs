//! What `domain=` holds: a pattern for names, with coder/boundary's meaning of `*`.
//!
//! `*` alone is any name; a leading `*` is one label or more; a `*` in the middle is exactly one
//! label. A name never matches its own sub-domains unless it is written so. Knows nothing of rules.

use std::net::IpAddr;

use super::host::Hostname;

/// A pattern for host names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DomainPattern {
    /// A leading `*`: one label or more before the rest.
    any_prefix: bool,
    /// The rest, last label first. `None` is `*`.
    labels: Vec<Option<Box<str>>>,
}

impl DomainPattern {
    /// Reads one pattern; the error says what would be right.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text
            .split('.')
            .any(|label| label.contains('*') && label != "*")
        {
            return Err("`*` stands for whole labels, as in *.example.org".to_owned());
        }
        // What remains to be checked is that a name would be a name with some label in each star's
        // place.
        let name = text
            .split('.')
            .map(|label| if label == "*" { "x" } else { label })
            .collect::<Vec<_>>()
            .join(".");
        let name = Hostname::parse(&name).map_err(|_| hint(text))?;
        let mut labels: Vec<_> = (text.split('.').zip(name.as_str().split('.')))
            .map(|(written, label)| (written != "*").then(|| Box::from(label)))
            .collect();
        labels.reverse();
        let any_prefix = labels.pop_if(|first| first.is_none()).is_some();
        if labels.first().is_some_and(Option::is_none) {
            return Err(
                "`*` can't be the last label: write the ending, as in *.example.org".to_owned(),
            );
        }
        Ok(Self { any_prefix, labels })
    }

    /// Whether it is `*`, every name that there is.
    pub(super) fn is_any(&self) -> bool {
        self.any_prefix && self.labels.is_empty()
    }

    /// Whether it stands for more names than one.
    pub(super) fn is_pattern(&self) -> bool {
        self.any_prefix || self.labels.iter().any(Option::is_none)
    }

    /// A name that it fits.
    pub(super) fn example(&self) -> Option<Hostname> {
        let prefix = self.any_prefix.then_some("x");
        let labels = self.labels.iter().rev();
        let labels = labels.map(|label| label.as_deref().unwrap_or("x"));
        let labels: Vec<_> = prefix.into_iter().chain(labels).collect();
        Hostname::parse(&labels.join(".")).ok()
    }

    /// Whether every name that `other` matches, this matches, too.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        let fits =
            |(own, others): (&Option<Box<str>>, &Option<Box<str>>)| own.is_none() || own == others;
        let is_longer = other.labels.len() > self.labels.len();
        let ends = match (self.any_prefix, other.any_prefix) {
            (true, true) => other.labels.len() >= self.labels.len(),
            (true, false) => is_longer,
            (false, true) => false,
            (false, false) => other.labels.len() == self.labels.len(),
        };
        ends && self.labels.iter().zip(&other.labels).all(fits)
    }

    pub(super) fn matches(&self, name: &Hostname) -> bool {
        let mut rest = name.as_str().rsplit('.');
        let fits = self
            .labels
            .iter()
            .all(|wanted| match (rest.next(), wanted) {
                (Some(label), Some(wanted)) => label == &**wanted,
                (Some(_), None) => true,
                (None, _) => false,
            });
        fits && rest.next().is_some() == self.any_prefix
    }
}

/// What is most likely meant by something that is no name.
fn hint(text: &str) -> String {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return format!("an address is not a name: write cidr={bare}");
    }
    let hint = match text {
        "" => "a name is missing (is there a comma too many?)",
        _ if text.contains("://") => "write the name alone, without the scheme",
        _ if text.contains('/') => "write the name alone; a path goes into path=",
        _ if text.contains(':') => "write the name alone; a port goes into port=",
        _ if !text.is_ascii() => "write an international name in its ASCII form, xn--…",
        _ => "not a host name (labels of a-z, 0-9, - and _, joined by dots; no address)",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        DomainPattern::parse(pattern)
            .unwrap()
            .matches(&Hostname::parse(name).unwrap())
    }

    #[test]
    fn patterns_match_as_coder_boundary_matches_them() {
        for (pattern, name, expected) in [
            ("example.org", "example.org", true),
            ("example.org", "example.test", false),
            ("example.org", "api.example.org", false),
            ("*.example.org", "api.example.org", true),
            ("*.example.org", "v1.api.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("v1.api.example.org", "api.example.org", false),
            ("*.com", "test.com", true),
            ("*.com", "a.b.com", true),
            ("*.*.com", "a.b.com", true),
            ("*.*.com", "b.com", false),
            ("*.a.*.com", "x.y.a.b.com", true),
            ("api.*.com", "api.a.com", true),
            ("api.*.com", "x.api.a.com", false),
            ("api.*.com", "api.com", false),
            ("api.*.com", "api.a.b.com", false),
            ("localhost", "localhost", true),
            ("*", "localhost", true),
            ("*", "a.b.c", true),
            ("github.com", "github.com.evil.test", false),
            ("*.example.org", "x-.example.org", true),
            ("*.example.org", "-x.example.org", true),
            ("x-.example.org", "X-.example.org", true),
            ("x-.example.org", "x.example.org", false),
            ("*.x-.org", "a.x-.org", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn case_and_trailing_dot_make_no_difference_on_either_side() {
        for pattern in ["GitHub.com", "github.com", "github.com.", "*.Com", "*.com."] {
            for name in ["github.com", "GITHUB.com", "github.com."] {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn a_mistake_is_answered_with_what_would_be_right() {
        for (text, hint) in [
            ("github.*", "last label"),
            ("*.*", "last label"),
            ("a.*.", "last label"),
            ("api*.com", "whole labels"),
            ("*x.com", "whole labels"),
            ("**.com", "whole labels"),
            ("github.com:8080", "port="),
            ("https://github.com", "scheme"),
            ("github.com/x", "path="),
            ("127.0.0.1", "cidr=127.0.0.1"),
            ("[::1]", "cidr=::1"),
            ("127.1", "no address"),
            ("*.1", "no address"),
            ("bücher.de", "xn--"),
            ("", "comma"),
            ("a..b", "not a host name"),
            ("a.-1", "not a host name"),
            (".", "not a host name"),
            ("*..", "not a host name"),
        ] {
            let error = DomainPattern::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    /// Patterns and names of few letters, so that they meet.
    const FEW: &str = "(\\*|a|b)(\\.(\\*|a|b)){0,3}\\.(a|b)";

    proptest! {
        #[test]
        fn a_pattern_that_has_all_of_another_matches_its_names(one in FEW, other in FEW, name in "(a|b)(\\.(a|b)){0,5}") {
            let read = |text: &str| DomainPattern::parse(text).unwrap();
            if read(&one).has_all_of(&read(&other)) && matches(&other, &name) {
                prop_assert!(matches(&one, &name), "{one} {other} {name}");
            }
        }

        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            let _ = DomainPattern::parse(&text);
        }

        #[test]
        fn a_name_as_a_pattern_matches_itself_and_nothing_longer(name in "[a-z][a-z0-9]{0,5}(\\.[a-z][a-z0-9]{0,5}){0,4}") {
            prop_assert!(matches(&name, &name));
            let longer = format!("x.{}", name);
            prop_assert!(!matches(&name, &longer));
            let below = format!("*.{}", name);
            prop_assert!(matches(&below, &longer));
            prop_assert!(!matches(&below, &name));
        }
    }
}
