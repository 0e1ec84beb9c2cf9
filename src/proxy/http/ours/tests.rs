//! What is said, in each form, and that nothing of a stranger's gets out of it.

use serde_json::{Value, json};

use super::*;

fn denial() -> Denial {
    Denial {
        reason: "no rule allows it".to_owned(),
        rule: None,
        suggestion: Some("domain=evil.example".to_owned()),
        approvable: None,
    }
}

fn told(form: Form, denial: &Denial, note: Option<&str>) -> Ours {
    let asker = Asker {
        method: "GET",
        host: "evil.example",
        path: "/x",
        form,
    };
    forbidden(asker, denial, note)
}

fn header<'a>(ours: &'a Ours, name: &str) -> Option<&'a str> {
    let mut headers = ours.headers.iter();
    headers
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.as_str())
}

fn body(ours: Ours) -> String {
    String::from_utf8(ours.body).unwrap()
}

const LINES: &str = "denied: GET evil.example/x: no rule allows it\na rule that would allow it: domain=evil.example\nAsk at #network.\n";

#[test]
fn a_denial_names_the_attempt_the_reason_and_the_rule_to_add() {
    let ours = told(Form::Json, &denial(), Some("Ask at #network."));
    assert_eq!(ours.status, 403);
    assert_eq!(header(&ours, "content-type"), Some("application/json"));
    assert_eq!(header(&ours, "x-boundary-denied"), Some("1"));
    assert_eq!(header(&ours, "x-boundary-reason"), Some("not_allowed"));
    let text = body(ours);
    assert!(
        text.starts_with("{\"error\":\"denied: GET evil.example/x: "),
        "{text}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "error": "denied: GET evil.example/x: no rule allows it", "code": "not_allowed", "status": 403,
            "method": "GET", "host": "evil.example", "path": "/x", "reason": "no rule allows it",
            "suggestion": "domain=evil.example", "note": "Ask at #network.",
        })
    );
    let by_rule = Denial {
        reason: "rule \"deny domain=x\" forbids it".to_owned(),
        rule: Some("domain=x".to_owned()),
        suggestion: None,
        approvable: None,
    };
    let ours = told(Form::Json, &by_rule, None);
    assert_eq!(header(&ours, "x-boundary-reason"), Some("denied_by_rule"));
    let value: Value = serde_json::from_str(&body(ours)).unwrap();
    assert_eq!(
        (&value["rule"], &value["note"]),
        (&json!("domain=x"), &Value::Null)
    );
}

#[test]
fn a_page_says_the_same() {
    let ours = told(Form::Html, &denial(), Some("Ask <b>at</b> #network."));
    assert_eq!(
        (ours.status.as_u16(), header(&ours, "content-type")),
        (403, Some("text/html; charset=utf-8"))
    );
    assert_eq!(
        header(&ours, "content-security-policy"),
        Some("default-src 'none'")
    );
    let text = body(ours);
    assert!(text.starts_with("<!DOCTYPE html>\n"), "{text}");
    for said in [
        "<h1>403 Forbidden</h1>",
        "<p>denied: GET evil.example/x: no rule allows it</p>",
        "Ask &lt;b&gt;at",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn what_travels_in_http_1_ends_its_connection() {
    let ours = told(Form::Json, &denial(), None);
    let whole = String::from_utf8(ours.bytes(false)).unwrap();
    let (head, told) = whole.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 403 Forbidden\r\ncontent-type: "),
        "{head}"
    );
    assert!(
        head.ends_with(&format!(
            "content-length: {}\r\nconnection: close",
            told.len()
        )),
        "{head}"
    );
    let bodiless = String::from_utf8(ours.bytes(true)).unwrap();
    assert_eq!(bodiless, format!("{head}\r\n\r\n"));
}

#[test]
fn grpc_gets_a_status_in_its_own_terms() {
    let ours = told(Form::Grpc, &denial(), Some("50% of “it”"));
    assert_eq!((ours.status.as_u16(), ours.body.len()), (200, 0));
    assert_eq!(header(&ours, "content-type"), Some("application/grpc"));
    assert_eq!(header(&ours, "grpc-status"), Some("7"));
    let message = "denied: GET evil.example/x: no rule allows it; a rule that would allow it: domain=evil.example; 50%25 of %E2%80%9Cit%E2%80%9D";
    assert_eq!(header(&ours, "grpc-message"), Some(message));

    let trailers = format!("grpc-status: 7\r\ngrpc-message: {message}\r\n");
    let length = u32::try_from(trailers.len()).unwrap().to_be_bytes();
    let frame = [&[0x80][..], &length, trailers.as_bytes()].concat();
    let web = told(Form::GrpcWeb, &denial(), Some("50% of “it”"));
    assert_eq!((web.status.as_u16(), &web.body), (200, &frame));
    let text = told(Form::GrpcWebText, &denial(), Some("50% of “it”"));
    assert_eq!(STANDARD.decode(text.body).unwrap(), frame);
    let unreachable = bad_gateway(Form::Grpc, "a.example", "refused");
    assert_eq!(header(&unreachable, "grpc-status"), Some("14"));
}

#[test]
fn git_gets_what_it_shows() {
    let note = Some("Ask at #network.");
    let refs = told(Form::GitRefs, &denial(), note);
    assert_eq!(
        (refs.status.as_u16(), header(&refs, "content-type")),
        (403, Some("text/plain; charset=utf-8"))
    );
    assert_eq!(body(refs), LINES);
    for (form, kind, begins) in [
        (
            Form::GitFetch,
            "application/x-git-upload-pack-result",
            "ERR ",
        ),
        (
            Form::GitPush,
            "application/x-git-receive-pack-result",
            "\u{3}",
        ),
    ] {
        let ours = told(form, &denial(), note);
        assert_eq!(
            (ours.status.as_u16(), header(&ours, "content-type")),
            (200, Some(kind))
        );
        assert_eq!(header(&ours, "x-boundary-denied"), Some("1"));
        let line = format!("{begins}{LINES}");
        assert_eq!(body(ours), format!("{:04x}{line}", line.len() + 4));
    }
}

#[test]
fn what_is_no_denial_by_the_policy_has_the_same_forms() {
    let bad = bad_request(Form::Html, "more than one Host header");
    assert_eq!(
        (bad.status.as_u16(), header(&bad, "x-boundary-reason")),
        (400, Some("unclear_request"))
    );
    assert!(body(bad).contains("<p>denied: more than one Host header</p>"));
    let gone = bad_gateway(Form::Json, "a.example", "refused");
    assert_eq!(
        (gone.status.as_u16(), header(&gone, "x-boundary-reason")),
        (502, Some("no_answer"))
    );
    assert_eq!(header(&gone, "x-boundary-denied"), None);
    assert!(
        body(gone).starts_with("{\"error\":\"allowed, but a.example can't be reached: refused\"")
    );
}

#[test]
fn hostile_text_is_printable_short_and_escaped_in_every_form() {
    let hostile = "a\r\nb\u{1b}[2J\u{202e}é</script><img src=x onerror=alert(1)>\"'&%\\";
    let denial = Denial {
        reason: hostile.to_owned(),
        rule: Some(hostile.to_owned()),
        suggestion: Some(hostile.to_owned()),
        approvable: None,
    };
    let path = "/<p>".repeat(5000);
    for form in [
        Form::Json,
        Form::Html,
        Form::Grpc,
        Form::GrpcWeb,
        Form::GitRefs,
        Form::GitFetch,
        Form::GitPush,
    ] {
        let asker = Asker {
            method: hostile,
            host: hostile,
            path: &path,
            form,
        };
        let ours = forbidden(asker, &denial, None);
        for (name, value) in &ours.headers {
            assert!(
                value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{form:?} {name}: {value}"
            );
        }
        let text = String::from_utf8(ours.body).unwrap_or_default();
        assert!(text.len() < 4000, "{form:?} {}", text.len());
        assert!(
            !text.contains(['\u{1b}', '\u{202e}', 'é']),
            "{form:?} {text}"
        );
        if matches!(form, Form::Json | Form::Html) {
            assert!(
                !text.contains("<img") && !text.contains("</script"),
                "{form:?} {text}"
            );
        }
        if form == Form::Json {
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }
}
