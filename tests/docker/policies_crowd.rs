//! The policy is changed under a thousand open connections and many new ones.

use test_support::bed::{Bed, Capture};
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, WILD};
use test_support::wire::leaks;

use crate::memory::{Gateway, WHOLE};
use crate::open_flows::Flows;

pub(crate) const TESTS: &[Test] = &[(
    "of_a_thousand_open_connections_those_denied_are_cut_and_no_other",
    crowd,
)];

/// How many more connections come while the policy is changed again and again, in each of the two names.
const COMING: usize = 300;

/// Half of the connections in a denied name wait for an answer that never comes, the other half for their next
/// request. New ones go to the addresses, each with one request: who is denied a name would else not come
/// so far. It is none that a connection to a server would be used for again.
const CROWD: &str = r"
import select, threading
def open_still(streams, seconds):
    'Those that have not ended by then. What comes on one before its end is told.'
    left = {stream.fileno(): stream for stream in streams}
    poll, until = select.poll(), time.monotonic() + seconds
    for number in left: poll.register(number, select.POLLIN)
    while left and time.monotonic() < until:
        for number, _ in poll.poll(100):
            try: said = left[number].recv(4096)
            except OSError: said = b''
            if said: tell('came', said)
            else: poll.unregister(number), left.pop(number)
    return list(left.values())
KEPT, GONE = 'allowed.test', 'a.wild.test'
AT = {KEPT: 'KEPT_AT', GONE: 'GONE_AT'}
def begin(host, path, method='GET'):
    stream = dial(80, AT[host])
    stream.sendall(f'{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n'.encode())
    return stream
# Addresses of names are those that answers gave.
for host in AT: socket.gethostbyname(host)
def many(host, path, number=250): return [begin(host, path) for _ in range(number)]
kept, quiet, busy = many(KEPT, '/bytes/5', 500), many(GONE, '/bytes/5'), many(GONE, '/unread')
assert all(answer(stream)[0] == 200 for stream in kept + quiet)
is_changed, is_over = threading.Event(), threading.Event()
results = []
def visit(host):
    'A new connection, twenty times a second.'
    began = time.monotonic()
    for number in range(1, 1000000):
        if is_over.wait(max(0, began + number / 20 - time.monotonic())): return
        after = is_changed.is_set()
        try:
            with begin(host, '/bytes/1', 'POST') as stream: status = answer(stream)[0]
        except OSError as error: status = type(error).__name__
        results.append((host, after, status))
visitors = [threading.Thread(target=visit, args=(host,)) for host in AT for _ in range(5)]
for visitor in visitors: visitor.start()
while len(results) < 200: time.sleep(0.02)
tell('open')
wait('changed')
is_changed.set()
tell('busy', len(open_still(busy, 10)))
tell('quiet', len(open_still(quiet, 10)))
for stream in kept: ask(stream, '/bytes/6', '', KEPT)
tell('kept', sum(answer(stream) == (200, bytes(6)) for stream in kept))
def came(host): return sum(name == host and after for name, after, _ in results)
while min(map(came, AT)) < COMING: time.sleep(0.02)
tell('came')
wait('end')
is_over.set()
for visitor in visitors: visitor.join()
# Between the change and its being told of, either is right.
for host in AT:
    of = [{str(status) for name, when, status in results if (name, when) == (host, after)} for after in (False, True)]
    tell(host, '200' in of[0], *sorted(of[1]))
";

fn crowd(bed: &Bed) {
    let rules = ["domain=allowed.test", "domain=*.wild.test"];
    let flows = Flows::under(bed, "boundary-live", &rules);
    let gateway = Gateway::of(bed, &flows.container);
    let uplink = flows.container.uplink();
    let whole = Capture::start(bed, &uplink, "in");
    let program = CROWD
        .replace("KEPT_AT", &ALLOWED.v4.to_string())
        .replace("GONE_AT", &WILD.v4.to_string())
        .replace("COMING", &COMING.to_string());
    flows.begin(&program);
    flows.apply(&rules[..1]).must_succeed();
    let after = Capture::start(bed, &uplink, "in");
    flows.go_on("changed");
    // Each of them on a connection of its own.
    let served = || {
        let log = bed.internet_log();
        log.matches("POST /bytes/1 host=allowed.test").count()
    };
    let before = served();
    // Others that deny the same, as long as it takes; not for ever.
    for round in 0..500 {
        let other = format!("domain=allowed.test port={}", 8000 + round);
        flows.apply(&[rules[0], &other]).must_succeed();
        if flows.has_told("came") {
            break;
        }
    }
    let after = after.stop();
    flows.go_on("end");
    let told = flows.told("over");
    assert_eq!(
        told,
        "open\nbusy 0\nquiet 0\nkept 500\ncame\n\
         allowed.test True 200\na.wild.test True 403\nover\n"
    );
    let late = format!("> {}.", WILD.v4);
    assert_eq!(after.iter().find(|packet| packet.contains(&late)), None);
    let came = served() - before;
    assert!(
        came >= COMING,
        "{came} connections came to the server meanwhile"
    );
    let whole = whole.stop();
    let leaked = leaks(&whole);
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert!(gateway.counted() <= WHOLE, "{}", gateway.counted());
}
