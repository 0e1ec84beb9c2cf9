//! The canonical form of a host name: the same text is matched, looked up, dialled, logged and
//! explained.
//!
//! Owns what a name may look like. Knows nothing of rules or of DNS messages. Invariant: a
//! [`Hostname`] is never an address, in any spelling that `inet_aton(3)` accepts (`127.1`,
//! `0x7f.1`, `2130706433`); otherwise a rule for names would open addresses.

use std::fmt;
use std::str::FromStr;

/// Longest name, in bytes, without the trailing dot (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
/// Longest label, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// A canonical DNS name: ASCII, lower case, no trailing dot, 1 to 253 bytes. Never an address
/// literal.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(Box<str>);

/// Why a text is no host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host name")]
pub struct HostnameError;

impl Hostname {
    /// Canonicalises a name: lower case, and at most one trailing dot dropped.
    ///
    /// # Errors
    /// [`HostnameError`] for anything that is not labels of `[a-z0-9_-]` joined by dots: addresses,
    /// blanks, control characters, `%`, non-ASCII (write those names in punycode).
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > MAX_NAME || !name.split('.').all(is_label) || ends_in_a_number(name) {
            return Err(HostnameError);
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// DNS itself takes any bytes (RFC 2181, 11), and clients ask for labels that begin or end with a
/// hyphen, which people choose for themselves (`x-.example.org`). Underscores are in service names
/// (`_dmarc`, `_acme-challenge`; RFC 2782). What else there may be in a label, no client sends.
fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether some resolver library could take the name for an IPv4 address: all of them require the
/// last part to be a number, decimal, octal or `0x` hexadecimal
/// (<https://url.spec.whatwg.org/#ends-in-a-number-checker>). A sign before it is no part of a
/// number to those that we know; but `strtoul(3)`, which reads it for them, takes one.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let last = last.trim_start_matches('-');
    let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0.into()
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (text, canonical) in [
            ("example.org", "example.org"),
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("localhost", "localhost"),
            ("_dmarc.example.org", "_dmarc.example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("4.3.2.1.in-addr.arpa", "4.3.2.1.in-addr.arpa"),
            ("a--b.c", "a--b.c"),
            ("x-.example.org", "x-.example.org"),
            ("-x.example.org", "-x.example.org"),
            ("-.example.org", "-.example.org"),
            ("a.b-", "a.b-"),
            ("a.1-", "a.1-"),
            ("0xg", "0xg"),
            ("1e3", "1e3"),
        ] {
            assert_eq!(Hostname::parse(text).unwrap().as_str(), canonical, "{text}");
        }
    }

    #[test]
    fn an_address_is_no_name_in_any_spelling() {
        for text in [
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "0X7F.0X1",
            "0x",
            "0177.0.0.01",
            "1.2.3.0x4",
            "evil.test.1",
            "-1",
            "127.0.0.-1",
            "127.0.0.--0x1",
            "-0x7f000001",
            "-",
            "a.-",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "fe80::1%eth0",
            "1.2.3.4:80",
        ] {
            assert_eq!(Hostname::parse(text), Err(HostnameError), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a.b..",
            "a b",
            " a",
            "a\n",
            "a\0.b",
            "a%2e.b",
            "a/b",
            "a@b",
            "a:80",
            "*.a",
            "bücher.de",
            "a\u{3002}b",
            "\u{212a}ube.test",
        ] {
            assert_eq!(Hostname::parse(text), Err(HostnameError), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let label = "a".repeat(63);
        assert!(Hostname::parse(&label).is_ok());
        assert!(Hostname::parse(&"a".repeat(64)).is_err());
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(Hostname::parse(&longest).is_ok());
        assert!(Hostname::parse(&format!("{longest}.")).is_ok());
        assert!(Hostname::parse(&format!("{longest}a")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(text in any::<String>()) {
            let _ = Hostname::parse(&text);
        }

        #[test]
        fn a_canonical_name_stays_as_it_is(text in "[a-zA-Z0-9_.x-]{0,40}") {
            if let Ok(name) = Hostname::parse(&text) {
                let again = Hostname::parse(name.as_str());
                prop_assert_eq!(again, Ok(name.clone()));
                prop_assert_eq!(name.to_string().parse::<Hostname>(), Ok(name));
            }
        }

        #[test]
        fn case_and_one_trailing_dot_make_no_difference(text in "[a-z0-9_.x-]{0,40}") {
            let plain = Hostname::parse(&text);
            prop_assert_eq!(&Hostname::parse(&text.to_uppercase()), &plain);
            if plain.is_ok() && !text.ends_with('.') {
                prop_assert_eq!(&Hostname::parse(&format!("{text}.")), &plain);
            }
        }

        #[test]
        fn no_name_is_what_the_c_library_takes_for_an_address(text in "[0-9a-fx.]{1,20}") {
            if let Ok(name) = Hostname::parse(&text) {
                let last = name.as_str().rsplit('.').next().unwrap();
                prop_assert!(!last.chars().all(|c| c.is_ascii_digit()));
                prop_assert!(name.as_str().parse::<std::net::IpAddr>().is_err());
            }
        }
    }
}
