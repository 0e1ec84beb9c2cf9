//! Hosts on which anybody can store data or read what others sent: object stores, CDNs, paste sites, source
//! forges. A rule for such a name opens a way out for data, unless its path narrows it.
//!
//! A list of well-known ones, as of November 2026; none of them is looked up.

use super::domain::DomainPattern;
use super::host::Hostname;

/// As a rule would have them.
const SHARED: [&str; 38] = [
    "*.amazonaws.com",
    "*.azureedge.net",
    "*.blob.core.windows.net",
    "*.cloudfront.net",
    "*.digitaloceanspaces.com",
    "*.fastly.net",
    "*.github.io",
    "*.githubusercontent.com",
    "*.gitlab.io",
    "*.googleapis.com",
    "*.googleusercontent.com",
    "*.herokuapp.com",
    "*.netlify.app",
    "*.ngrok-free.app",
    "*.ngrok.io",
    "*.pages.dev",
    "*.r2.cloudflarestorage.com",
    "*.r2.dev",
    "*.sentry.io",
    "*.sourceforge.net",
    "*.trycloudflare.com",
    "*.vercel.app",
    "*.web.core.windows.net",
    "*.workers.dev",
    "api.telegram.org",
    "bitbucket.org",
    "discord.com",
    "file.io",
    "gist.github.com",
    "github.com",
    "gitlab.com",
    "hooks.slack.com",
    "hastebin.com",
    "paste.rs",
    "pastebin.com",
    "sourceforge.net",
    "transfer.sh",
    "webhook.site",
];

/// Whether anybody can store data under this name.
pub(super) fn is_shared(name: &Hostname) -> bool {
    SHARED
        .iter()
        .any(|text| DomainPattern::parse(text).is_ok_and(|one| one.matches(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_a_pattern_and_stands_for_something() {
        for text in SHARED {
            let name = DomainPattern::parse(text).unwrap().example().unwrap();
            assert!(is_shared(&name), "{text}");
        }
        assert!(!is_shared(&Hostname::parse("example.org").unwrap()));
    }
}
