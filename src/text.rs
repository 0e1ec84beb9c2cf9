//! Text as other programs read it, and as people do. Depends on no other module.

use std::collections::BTreeSet;

/// As many names are told.
const MOST_NAMED: usize = 20;

/// Whether Go's `encoding/json` takes the key `key` for the field `field`.
///
/// Case doesn't count. Beyond ASCII, Go folds `ſ` (U+017F) to s and the Kelvin sign (U+212A) to k:
/// releases up to 1.20 compare by `foldFunc`, later ones by `foldName`, which come to the same for
/// fields whose names are ASCII.
#[must_use]
pub fn is_same_key_to_go(key: &str, field: &str) -> bool {
    key.chars().map(folded).eq(field.chars().map(folded))
}

fn folded(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// Names in a sentence; not all of many.
#[must_use]
pub fn listed(names: &BTreeSet<String>) -> String {
    let first: Vec<_> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_all_of_many_are_named() {
        let names = |count: usize| (0..count).map(|number| format!("n/{number:03}")).collect();
        assert_eq!(listed(&names(2)), "n/000, n/001");
        let many = listed(&names(MOST_NAMED + 3));
        assert!(
            many.ends_with(" and 3 more") && many.matches("n/").count() == MOST_NAMED,
            "{many}"
        );
    }

    /// Each pair as `json.Unmarshal` of Go 1.19 was seen to take it, and as `unicode.SimpleFold`
    /// has it, by which later ones go.
    #[test]
    fn keys_are_compared_as_go_compares_them() {
        for (key, field) in [
            ("hooks", "hooks"),
            ("HOOKS", "hooks"),
            ("hoo\u{212a}s", "hooks"),
            ("hook\u{17f}", "hooks"),
            ("HOO\u{212a}\u{17f}", "hooks"),
            ("MINKERNEL", "minKernel"),
            ("default-RUNTIME", "default-runtime"),
        ] {
            assert!(is_same_key_to_go(key, field), "{key}");
        }
        for (key, field) in [
            ("hook", "hooks"),
            ("hookss", "hooks"),
            ("hooks ", "hooks"),
            ("", "hooks"),
            // Neither normalised nor folded further: full width, sharp s, dotted and dotless i.
            ("\u{ff48}ooks", "hooks"),
            ("a\u{df}", "ass"),
            ("u\u{131}d", "uid"),
            ("u\u{130}d", "uid"),
            // Only letters have a case.
            ("default\ruuntime", "default-runtime"),
            ("default\r\u{212a}", "default-k"),
            ("gid@", "gid`"),
        ] {
            assert!(!is_same_key_to_go(key, field), "{key}");
        }
    }
}
