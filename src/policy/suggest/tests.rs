//! What is suggested, and what holds for every suggestion.

use proptest::prelude::*;

use super::*;

fn asked(name: &str, address: &str, protocol: Protocol, request: Option<(&str, &str)>) -> Asked {
    Asked {
        name: (!name.is_empty()).then(|| Hostname::parse(name).unwrap()),
        address: address.parse().unwrap(),
        protocol,
        method: request.map(|(method, _)| method.to_owned()),
        path: request.map(|(_, path)| path.to_owned()),
    }
}

fn seen(count: u64, answered: bool) -> Seen {
    Seen {
        count,
        first: "2026-01-02T03:04:05.678Z".to_owned(),
        answered,
        denied: None,
    }
}

fn texts(suggestion: &Suggestion) -> Vec<(&str, u64)> {
    let rules = suggestion.rules.iter();
    rules.map(|rule| (rule.text.as_str(), rule.count)).collect()
}

fn left(suggestion: &Suggestion) -> Vec<(&str, &str)> {
    let left = suggestion.left_out.iter();
    left.map(|one| (one.what.as_str(), one.why.as_str()))
        .collect()
}

/// A morning's work.
fn session() -> Session {
    use Protocol::{Http, Https, Tcp, Udp};
    let mut session = Session::default();
    for (asked, seen) in [
        (asked("a.test", "192.0.2.1:443", Https, None), seen(7, true)),
        (asked("a.test", "192.0.2.2:443", Https, None), seen(5, true)),
        (
            asked("a.test", "192.0.2.2:80", Http, Some(("GET", "/x"))),
            seen(1, true),
        ),
        (
            asked("b.test", "192.0.2.3:443", Https, Some(("GET", "/p/1"))),
            seen(1, true),
        ),
        (
            asked("b.test", "192.0.2.3:443", Https, Some(("GET", "/p/2"))),
            seen(2, true),
        ),
        (
            asked("b.test", "192.0.2.3:443", Https, Some(("POST", "/p/2"))),
            seen(1, true),
        ),
        (asked("git.test", "192.0.2.4:22", Tcp, None), seen(3, true)),
        (asked("db.test", "10.0.0.5:5432", Tcp, None), seen(2, true)),
        (asked("", "192.0.2.9:123", Udp, None), seen(4, true)),
        (
            asked("once.test", "192.0.2.5:443", Https, None),
            seen(1, false),
        ),
        (asked("", "169.254.169.254:80", Http, None), seen(2, true)),
    ] {
        session.add(asked, seen);
    }
    let denied = Some("no rule allows it".to_owned());
    let evil = asked("evil.test", "0.0.0.0:443", Https, None);
    session.add(
        evil,
        Seen {
            denied,
            ..seen(3, false)
        },
    );
    for name in ["a.test", "idle.test"] {
        session.add_lookup(Hostname::parse(name).unwrap(), seen(2, true));
    }
    session
}

#[test]
fn a_session_becomes_the_least_policy_for_it() {
    let suggestion = session().suggest(&[]).unwrap();
    assert_eq!(
        texts(&suggestion),
        [
            ("domain=a.test", 13),
            ("method=GET domain=b.test path=/p/1,/p/2", 3),
            ("method=POST domain=b.test path=/p/2", 1),
            ("proto=tcp domain=db.test port=5432 cidr=10.0.0.5/32", 2),
            ("proto=tcp domain=git.test port=22", 3),
            ("proto=udp cidr=192.0.2.9/32 port=123", 4),
        ],
        "{suggestion:#?}"
    );
    assert_eq!(
        left(&suggestion),
        [
            (
                "http 169.254.169.254:80",
                "169.254.169.254 is link-local (169.254.0.0/16)"
            ),
            ("domain=evil.test", "denied 3 times: no rule allows it"),
            ("domain=once.test", "asked once, and never answered"),
            ("idle.test", "looked up 2 times, never connected to"),
        ]
    );
}

#[test]
fn bytes_that_are_no_request_open_no_requests() {
    use Protocol::{Http, Https, Tcp, Udp};
    let mut session = Session::default();
    for (protocol, port, request) in [
        (Http, 80, Some(("GET", "/x"))),
        (Tcp, 80, None),
        (Https, 443, Some(("GET", "/x"))),
        (Tcp, 443, None),
        (Udp, 443, None),
        (Udp, 80, None),
        (Tcp, 22, None),
    ] {
        let to = asked("a.test", &format!("192.0.2.1:{port}"), protocol, request);
        session.add(to, seen(2, true));
    }
    let suggestion = session.suggest(&[]).unwrap();
    assert_eq!(
        texts(&suggestion),
        [
            ("method=GET domain=a.test path=/x", 4),
            ("proto=tcp domain=a.test port=22", 2),
            ("proto=udp domain=a.test port=80", 2),
        ]
    );
    let why = "a rule for it would allow all requests there, whatever they are";
    assert_eq!(
        left(&suggestion),
        [
            ("tcp a.test:80", why),
            ("tcp a.test:443", why),
            ("udp a.test:443", why),
        ]
    );
}

#[test]
fn a_wildcard_that_is_asked_for_stands_for_the_names_that_it_fits() {
    let wildcard = ["*.test".to_owned()];
    let suggestion = session().suggest(&wildcard).unwrap();
    assert_eq!(
        texts(&suggestion),
        [
            ("domain=*.test", 17),
            ("proto=tcp domain=*.test port=22", 3),
            ("proto=tcp domain=*.test port=5432 cidr=10.0.0.5/32", 2),
            ("proto=udp cidr=192.0.2.9/32 port=123", 4),
        ],
        "{suggestion:#?}"
    );
    assert_eq!(
        left(&suggestion),
        [
            (
                "http 169.254.169.254:80",
                "169.254.169.254 is link-local (169.254.0.0/16)"
            ),
            (
                "domain=evil.test",
                "denied 3 times: no rule allows it; a rule above allows it"
            ),
        ]
    );
    let broken = session().suggest(&["*x".to_owned()]);
    assert!(broken.unwrap_err().contains("whole labels"));
}

#[test]
fn what_is_shared_is_marked() {
    let mut session = Session::default();
    for name in ["storage.googleapis.com", "example.org"] {
        session.add(
            asked(name, "192.0.2.1:443", Protocol::Https, None),
            seen(2, true),
        );
    }
    let suggestion = session.suggest(&[]).unwrap();
    let shared = suggestion.rules.iter().filter(|rule| rule.shared);
    let shared: Vec<_> = shared.map(|rule| rule.text.as_str()).collect();
    assert_eq!(shared, ["domain=storage.googleapis.com"]);
}

#[test]
fn what_is_kept_of_a_flood_is_bounded() {
    let mut session = Session::default();
    for number in 0..MAX_DIFFERENT + 5 {
        let name = format!("n{number}.test");
        session.add(
            asked(&name, "192.0.2.1:443", Protocol::Https, None),
            seen(2, true),
        );
    }
    let suggestion = session.suggest(&["*.test".to_owned()]).unwrap();
    assert_eq!(suggestion.rules.len(), 1);
    assert_eq!(
        left(&suggestion),
        [("10 times", "beyond the first 10000 different attempts")]
    );
}

fn any_asked() -> impl Strategy<Value = Asked> {
    use Protocol::{Http, Https, Tcp, Udp};
    let name = prop::sample::select(vec!["", "x.test", "y.test", "deep.x.test", "github.com"]);
    let address = prop::sample::select(vec![
        "192.0.2.1",
        "10.0.0.5",
        "127.0.0.1",
        "169.254.169.254",
        "2001:db8::1",
        "fd00::1",
    ]);
    let protocol = prop::sample::select(vec![Http, Https, Tcp, Udp]);
    let port = prop::sample::select(vec![22u16, 80, 443, 8080]);
    let request = prop::option::of((
        prop::sample::select(vec!["GET", "POST", "*"]),
        prop::sample::select(vec![
            "/", "/a", "/a/b", "/a,b/c", "/x/*", "/c/a%2Fb", "/it's",
        ]),
    ));
    (name, address, protocol, port, request).prop_map(|(name, address, protocol, port, request)| {
        let address: IpAddr = address.parse().unwrap();
        let is_read = matches!(protocol, Http) || protocol == Https && !name.is_empty();
        let text = SocketAddr::new(address, port).to_string();
        asked(name, &text, protocol, request.filter(|_| is_read))
    })
}

proptest! {
    #[test]
    fn a_suggestion_allows_all_that_it_does_not_list_and_needs_each_of_its_rules(
        all in prop::collection::vec((any_asked(), 1..4u64, any::<bool>()), 0..12), wildcard in any::<bool>(),
    ) {
        let mut session = Session::default();
        for (asked, count, answered) in &all {
            session.add(asked.clone(), seen(*count, *answered));
        }
        let kept: Vec<_> = session.asked.iter().filter(|(asked, seen)| asked.reason_to_leave(seen).is_none()).map(|(asked, _)| asked.clone()).collect();
        let wildcards: Vec<_> = wildcard.then(|| "*.test".to_owned()).into_iter().collect();
        let suggestion = session.suggest(&wildcards).unwrap();
        let policy = compiled(&suggestion.rules);
        let file = crate::policy::text::parse_file("p.yaml", &suggestion.to_string()).unwrap();
        let texts: Vec<_> = suggestion.rules.iter().map(|rule| rule.text.clone()).collect();
        prop_assert_eq!(file.allow(), texts, "{}", suggestion);
        for asked in &kept {
            let is_listed = suggestion.left_out.iter().any(|left| left.what == asked.words());
            prop_assert_eq!(asked.denied_by(&policy).is_some(), is_listed, "{:?} {:#?}", asked, suggestion);
        }
        for place in 0..suggestion.rules.len() {
            let mut fewer = suggestion.rules.clone();
            let taken = fewer.remove(place);
            let fewer = compiled(&fewer);
            let misses = |asked: &&Asked| asked.denied_by(&policy).is_none() && asked.denied_by(&fewer).is_some();
            prop_assert!(kept.iter().any(|asked| misses(&asked)), "{} is not needed: {:#?}", taken.text, suggestion);
        }
    }
}
