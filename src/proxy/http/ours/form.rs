//! In what form a client can read an answer of ours: by what its request says that it accepts.
//!
//! Knows nothing of what is said. Invariant: without a reason for another form it is JSON, and HTML
//! only where the client names it and doesn't like JSON better.

/// A form that some clients read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Form {
    /// An object in JSON.
    #[default]
    Json,
    /// A page.
    Html,
    /// What gRPC's clients take for a status: in the head alone, of an answer that is 200.
    Grpc,
    /// The same where a browser hides the trailers: they are the body.
    GrpcWeb,
    /// And the same in base64.
    GrpcWebText,
    /// Plain text, the only one that git shows of an answer to its first question.
    GitRefs,
    /// An error in the protocol of `git fetch`: git shows no body that isn't of its protocol.
    GitFetch,
    /// And in that of `git push`.
    GitPush,
}

/// What of an Accept field is looked at, in bytes: browsers write some hundred.
pub(in crate::proxy) const ACCEPT: usize = 2048;

impl Form {
    /// The form for a request. `accept`: the values of its Accept fields, joined by commas.
    pub(in crate::proxy) fn of(path: &str, accept: &str, content_type: &str) -> Self {
        let is_of = |kind: &str| begins(content_type, kind);
        match () {
            () if is_of("application/grpc-web-text") => Self::GrpcWebText,
            () if is_of("application/grpc-web") => Self::GrpcWeb,
            () if is_of("application/grpc") => Self::Grpc,
            () if begins(accept, "application/x-git-upload-pack-result") => Self::GitFetch,
            () if begins(accept, "application/x-git-receive-pack-result") => Self::GitPush,
            () if path.ends_with("/info/refs") => Self::GitRefs,
            () if likes_html(accept) => Self::Html,
            () => Self::Json,
        }
    }
}

fn begins(text: &str, with: &str) -> bool {
    text.get(..with.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(with))
}

/// Whether HTML is named, and nothing that JSON would do for is liked better.
fn likes_html(accept: &str) -> bool {
    let (mut html, mut json, mut any) = (0, None, 0);
    for range in accept.split(',') {
        let (kind, quality) = range_of(range);
        match kind.to_ascii_lowercase().as_str() {
            "text/html" => html = quality,
            "application/json" => json = Some(quality),
            "*/*" => any = quality,
            _ => {}
        }
    }
    html > 0 && html >= json.unwrap_or(0) && html >= any
}

/// A media range and its quality in thousandths (RFC 9110 12.4.2).
fn range_of(text: &str) -> (&str, u32) {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| thousandths(value.trim()))
    });
    (kind, quality.unwrap_or(1000))
}

/// What isn't a quality counts as none.
fn thousandths(text: &str) -> u32 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if rest.len() > 3 || !digits(whole) || !digits(rest) {
        return 0;
    }
    match whole {
        "1" => 1000,
        "0" | "" => format!("{rest:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_unless_html_is_named_and_not_liked_less() {
        for (accept, expected) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("text/*", Form::Json),
            ("text/html", Form::Html),
            ("TEXT/HTML", Form::Html),
            // A browser, wget, curl, npm, requests.
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
                Form::Html,
            ),
            ("application/json", Form::Json),
            (
                "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
                Form::Json,
            ),
            ("text/html, application/json", Form::Html),
            ("application/json, text/html;q=0.9", Form::Json),
            ("application/json;q=0.5, text/html;q=0.9", Form::Html),
            ("text/html;q=0.5, */*", Form::Json),
            ("text/html;q=0.5, */*;q=0.5", Form::Html),
            ("text/html;q=0", Form::Json),
            ("text/html;q=0.0001, */*;q=0", Form::Json),
            ("text/html;q=x", Form::Json),
            (
                "text/html;level=1;q=0.4, application/json;q=0.4",
                Form::Html,
            ),
            ("text/htmlx", Form::Json),
        ] {
            assert_eq!(Form::of("/", accept, ""), expected, "{accept}");
        }
    }

    #[test]
    fn protocols_that_hide_bodies_get_a_form_of_their_own() {
        for (path, accept, content_type, expected) in [
            ("/s/M", "", "application/grpc", Form::Grpc),
            ("/s/M", "", "application/grpc+proto", Form::Grpc),
            ("/s/M", "*/*", "application/grpc-web+proto", Form::GrpcWeb),
            ("/s/M", "", "application/grpc-web-text", Form::GrpcWebText),
            ("/r.git/info/refs", "*/*", "", Form::GitRefs),
            (
                "/r.git/git-receive-pack",
                "application/x-git-receive-pack-result",
                "application/x-git-receive-pack-request",
                Form::GitPush,
            ),
            (
                "/r.git/git-upload-pack",
                "application/x-git-upload-pack-result",
                "",
                Form::GitFetch,
            ),
            ("/", "", "application/json", Form::Json),
        ] {
            assert_eq!(
                Form::of(path, accept, content_type),
                expected,
                "{path} {content_type}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_a_panic(accept in any::<String>(), kind in any::<String>()) {
            let _ = Form::of("/", &accept, &kind);
        }

        #[test]
        fn texts_that_look_like_ranges_are_judged(accept in "(text/html|\\*/\\*|;|q=|,| |0|1|\\.|9){0,12}") {
            let _ = Form::of("/", &accept, "");
        }
    }
}
