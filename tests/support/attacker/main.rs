//! What hostile code in a container would try, as one program; each attempt prints one line with
//! what came of it.
//!
//! It runs inside test containers. Under plain runc its attempts succeed: that is how the tests
//! know that the weapons are loaded. It knows nothing of the filter.
//!
//! - `probe tcp|greeting|udp|icmp ADDRESS[:PORT]`: one polite attempt: the outcome and how long it
//!   took, in milliseconds
//! - `knock SECONDS ADDRESS:PORT...`: a connection to each, all at once: the target, the name of
//!   the error or `connected`, and how long it took, in milliseconds
//! - `dns udp|tcp SERVER NAME`: one query: the response code and how long it took
//! - `frames INTERFACE ADDRESS SECRET`: whole Ethernet frames, past the container's own firewall
//!   and queues
//! - `raw ADDRESS SECRET`: IP protocols that nobody thinks of
//! - `speak TRIGGER TARGET SECRET`: what makes a router's kernel speak by itself, to a source that
//!   we made up
//! - `flood TARGET SECRET SECONDS`: datagrams in the names of TARGET's neighbours
//! - `mutate SEED COUNT SECRET [ADDRESS...]`: valid packets changed at random, also in the names of
//!   these addresses
//! - `send tcp|udp ADDRESS:PORT SECRET [from SOURCE]`: one message, whoever listens
//! - `take-over RAW|PLAIN SERVER LATE-NAME SECRET-NAME SECONDS`: the proxy's conversation with its
//!   name server, by making conntrack forget it
//! - `rtnetlink INTERFACE`: reaching for other network namespaces
//! - `regain INTERFACE`: changing the interface, and mounting, by every way to a capability for it
//! - `entrants SECONDS`: attaching to whoever a runtime adds to the container
//! - `quiet ADDRESS:PORT`: what gets no answer or one from the kernel: segments of no connection,
//!   ICMP of odd types, IGMP, half a packet
//! - `scatter ADDRESS:PORT COUNT`: one datagram each from so many ports
//! - `hoard WHAT ADDRESS:PORT COUNT SECONDS`: COUNT connections that stop half-way (`heads`,
//!   `bodies`, `answers`, `hellos`, `streams`, `quiet`), or large `datagrams` or `questions` from
//!   COUNT sockets, held for so long
//! - `syns flood ADDRESS:PORT COUNT`: first segments of so many connections, as fast as they go
//! - `syns odd ADDRESS:PORT SECRET`: such as no kernel sends
//! - `syns to ADDRESS:PORT...`: one to each, whatever the container's routes say
//! - `denials ADDRESS:PORT COUNT`: so many requests, each for another name; prints how many were denied
//! - `jailed …`: out of a jail: `attempts SECRET ADDRESS:PORT...`, `families`, `race-address ALLOWED
//!   DENIED SECRET COUNT`, `race-descriptor DENIED SECRET COUNT`; and what shows that the races can be
//!   won: `wrongly address|descriptor ALLOWED COMMAND...`, `without-landlock COMMAND...`
//! - `hold ADDRESS SECRET`: flows that are open before the host changes something, and what is said
//!   on them afterwards
//! - `race ADDRESS:PORT WORDS`: WORDS on new connections all the time, until the host has done so
//! - `approve SOCKET...`: a gateway's control sockets, asked to approve whatever is pending; `hand-in SOCKET
//!   PATH`: on the host, such a socket passed on at another path, for everybody
//! - `request-key NAME`: a key that the kernel would have a program on the host look up; prints the error's
//!   name
//! - `storm ADDRESS:PORT SECONDS`: connections as fast as they go; prints how many were made

#![expect(clippy::print_stdout, reason = "its findings are its standard output")]

mod approve;
mod changes;
mod denials;
mod entrants;
mod frames;
mod hoard;
mod jailed;
mod kernel;
mod keys;
mod link;
mod mutate;
mod namespaces;
mod packets;
mod probe;
mod quiet;
mod regain;
mod syns;
mod take_over;

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["probe", "tcp", target] => report(|| probe::tcp(target.parse()?)),
        ["probe", "greeting", target] => report(|| probe::greeting(target.parse()?)),
        ["probe", "udp", target] => report(|| probe::udp(target.parse()?)),
        ["probe", "icmp", target] => report(|| probe::icmp(target.parse()?)),
        ["knock", seconds, targets @ ..] => {
            probe::knock(Duration::from_secs(seconds.parse()?), &parsed(targets)?);
        }
        ["denials", target, count] => {
            println!("denied {}", denials::run(target.parse()?, count.parse()?)?);
        }
        ["dns", "udp", server, name] => report(|| probe::dns_udp(server.parse()?, name)),
        ["dns", "tcp", server, name] => report(|| probe::dns_tcp(server.parse()?, name)),
        ["frames", interface, target, secret] => {
            frames::send_all(interface, target.parse()?, secret)?
        }
        ["raw", target, secret] => raw_protocols(target.parse()?, secret)?,
        ["speak", trigger, target, secret] => kernel::speak(trigger, target.parse()?, secret)?,
        ["flood", target, secret, seconds] => {
            kernel::flood(
                target.parse()?,
                secret,
                Duration::from_secs(seconds.parse()?),
            )?;
        }
        ["mutate", seed, count, secret, others @ ..] => {
            mutate::run(seed.parse()?, count.parse()?, &parsed(others)?, secret)?;
        }
        ["send", "tcp", target, secret] => report(|| probe::send_tcp(target.parse()?, secret)),
        ["send", "udp", target, secret] => {
            report(|| probe::send_udp(None, target.parse()?, secret))
        }
        ["send", "udp", target, secret, "from", source] => {
            report(|| probe::send_udp(Some(source.parse()?), target.parse()?, secret));
        }
        ["take-over", how, server, late, secret, seconds] => {
            let names = take_over::Names { late, secret };
            take_over::run(
                how,
                server.parse()?,
                &names,
                Duration::from_secs(seconds.parse()?),
            )?;
        }
        ["rtnetlink", interface] => namespaces::reach(interface)?,
        ["regain", interface] => regain::attempt(interface)?,
        ["entrants", seconds] => entrants::take_over(Duration::from_secs(seconds.parse()?)),
        ["quiet", target] => quiet::send_all(target.parse()?)?,
        ["scatter", target, count] => probe::scatter(target.parse()?, count.parse()?)?,
        [
            "hoard",
            what @ ("datagrams" | "questions"),
            target,
            count,
            seconds,
        ] => {
            hoard::datagrams(
                what,
                target.parse()?,
                count.parse()?,
                Duration::from_secs(seconds.parse()?),
            )?;
        }
        ["hoard", what, target, count, seconds] => {
            let length = Duration::from_secs(seconds.parse()?);
            println!(
                "connections: {}",
                hoard::streams(what, target.parse()?, count.parse()?, length)?
            );
        }
        ["syns", "flood", target, count] => syns::flood(target.parse()?, count.parse()?)?,
        ["syns", "odd", target, secret] => syns::odd(target.parse()?, secret)?,
        ["syns", "to", targets @ ..] => syns::one_each(&parsed(targets)?)?,
        ["hold", server, secret] => changes::hold(server.parse()?, secret)?,
        ["race", target, words] => changes::race(target.parse()?, words),
        [what @ ("approve" | "hand-in"), words @ ..] => approve::run(what, words)?,
        ["request-key", name] => println!("{}", keys::request(name)?),
        ["storm", target, seconds] => {
            let made = probe::storm(target.parse()?, Duration::from_secs(seconds.parse()?));
            println!("connections: {made}");
        }
        ["jailed", words @ ..] => jailed::run(words)?,
        _ => bail!("no such attack; see the head of its source"),
    }
    Ok(())
}

fn parsed<T: FromStr>(words: &[&str]) -> Result<Vec<T>, T::Err> {
    words.iter().map(|word| word.parse()).collect()
}

/// `OUTCOME MILLISECONDS`.
fn report(attempt: impl FnOnce() -> anyhow::Result<String>) {
    let start = std::time::Instant::now();
    let outcome = attempt().unwrap_or_else(|error| match error.downcast_ref() {
        Some(error) => probe::failure(error),
        None => format!("{error:#}").replace(' ', "-"),
    });
    println!("{outcome} {}", start.elapsed().as_millis());
}

/// ICMP, IGMP, TCP and UDP by hand, GRE, ESP, OSPF, SCTP, and one that means nothing.
const PROTOCOLS: [i32; 9] = [1, 2, 6, 17, 47, 50, 89, 132, 253];

fn raw_protocols(target: IpAddr, secret: &str) -> anyhow::Result<()> {
    let domain = if target.is_ipv4() {
        socket2::Domain::IPV4
    } else {
        socket2::Domain::IPV6
    };
    for protocol in PROTOCOLS {
        let sent = socket2::Socket::new(domain, socket2::Type::RAW, Some(protocol.into()))
            .context("socket")
            .and_then(|socket| {
                Ok(socket.send_to(
                    secret.as_bytes(),
                    &std::net::SocketAddr::new(target, 0).into(),
                )?)
            });
        match sent {
            Ok(_) => println!("protocol {protocol}: sent"),
            Err(error) => println!("protocol {protocol}: {error:#}"),
        }
    }
    Ok(())
}
