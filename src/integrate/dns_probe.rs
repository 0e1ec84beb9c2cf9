//! Whether a DNS server answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::sys::socket;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks for the root's name servers, as every resolver is asked all day. Any answer but a refusal
/// will do: what the server can reach at the moment is not our business.
pub(super) fn answers(server: IpAddr) -> bool {
    serves(SocketAddr::new(server, 53))
}

fn serves(server: SocketAddr) -> bool {
    // RFC 1035: id, recursion desired, one question: `.`, NS, IN.
    const QUESTION: [u8; 17] = [0xb0, 0xda, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    const REFUSED: u8 = 5;
    match socket::ask(server, &QUESTION, PATIENCE) {
        Ok(answer) => {
            matches!(*answer, [0xb0, 0xda, flags, code, ..] if flags & 0x80 != 0 && code & 0xf != REFUSED)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a server counts that sends this back for the question, its flags changed.
    fn counts(reply: impl FnOnce(&mut Vec<u8>) + Send + 'static) -> bool {
        let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = server.local_addr().expect("its address");
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            let (length, client) = server.recv_from(&mut buffer).expect("a question");
            let mut answer = buffer[..length].to_vec();
            reply(&mut answer);
            server.send_to(&answer, client).expect("sent");
        });
        let counted = serves(address);
        serving.join().expect("it ends");
        counted
    }

    #[test]
    fn a_server_counts_that_answers_and_does_not_refuse() {
        assert!(counts(|answer| answer[2] |= 0x80));
        assert!(
            counts(|answer| (answer[2], answer[3]) = (0x81, 2)),
            "what it can reach is not our business"
        );
        assert!(
            !counts(|answer| (answer[2], answer[3]) = (0x81, 5)),
            "refused"
        );
        assert!(!counts(|_| ()), "a question is no answer");
        assert!(
            !counts(|answer| (answer[0], answer[2]) = (0, 0x81)),
            "to another question"
        );
        assert!(!counts(|answer| answer.truncate(3)));
    }

    #[test]
    fn where_nobody_serves_nobody_answers() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("an address");
        assert!(!serves(free));
    }
}
