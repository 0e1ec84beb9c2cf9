//! The policy is changed under a thousand open connections and two hundred new ones a second.

use test_support::bed::{Bed, Capture};
use test_support::harness::Test;
use test_support::hosts::{ALLOWED, WILD};
use test_support::wire::{leaks, must_show_allowed_traffic};

use crate::memory::{Gateway, WHOLE};
use crate::open_flows::Flows;

pub(crate) const TESTS: &[Test] = &[(
    "of_a_thousand_open_connections_those_denied_are_cut_and_no_other",
    crowd,
)];

/// Half of the connections in a denied name wait for an answer that never comes. Of the others, those
/// may stay open, and are denied what they ask next, whose server's side was given up before, for want
/// of memory. New ones go to the
/// addresses, each with one request: who is denied a name would else not come so far.
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
def begin(host, path):
    stream = dial(80, AT[host])
    ask(stream, path, '', host)
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
            with begin(host, '/bytes/1') as stream: status = answer(stream)[0]
        except OSError as error: status = type(error).__name__
        results.append((host, after, status))
visitors = [threading.Thread(target=visit, args=(host,)) for host in AT for _ in range(5)]
for visitor in visitors: visitor.start()
while len(results) < 200: time.sleep(0.02)
tell('open')
wait('changed')
is_changed.set()
before = len(results)
tell('busy', len(open_still(busy, 10)))
left = open_still(quiet, 3)
for stream in left: ask(stream, '/bytes/6', '', GONE)
tell('quiet', len(quiet) - len(left) + sum(answer(stream)[0] == 403 for stream in left))
for stream in kept: ask(stream, '/bytes/6', '', KEPT)
tell('kept', sum(answer(stream) == (200, bytes(6)) for stream in kept))
while len(results) < before + 600: time.sleep(0.02)
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
        .replace("GONE_AT", &WILD.v4.to_string());
    flows.begin(&program);
    flows.apply(&rules[..1]).must_succeed();
    let after = Capture::start(bed, &uplink, "in");
    flows.go_on("changed");
    let told = flows.told("over");
    let after = after.stop();
    assert_eq!(
        told,
        "open\nbusy 0\nquiet 250\nkept 500\n\
         allowed.test True 200\na.wild.test True 403\nover\n"
    );
    let late: Vec<_> = after
        .iter()
        .filter(|packet| packet.contains(&WILD.v4.to_string()))
        .collect();
    assert!(late.is_empty(), "{late:#?}");
    must_show_allowed_traffic(&after);
    let whole = whole.stop();
    let leaked = leaks(&whole);
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert!(gateway.counted() <= WHOLE, "{}", gateway.counted());
}
