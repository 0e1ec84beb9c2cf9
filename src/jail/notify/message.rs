//! The heads of messages (`struct msghdr` and `struct mmsghdr`, 64 bits), as a command's memory has
//! them. Pure.

use super::request::Piece;

/// What a head takes, in bytes.
pub const HEAD: usize = 56;
/// What one of several takes: its head and how long it was, padded.
pub const OF_SEVERAL: u64 = 64;
/// Where in that it stands how long it was.
pub const LENGTH_AT: u64 = 56;
/// Pieces of one message, at most: what real programs use, many times over.
pub const PIECES: usize = 64;
/// What one piece's description takes (`struct iovec`).
pub const PIECE: usize = 16;
/// Messages that are taken of one call.
pub const MESSAGES: u32 = 64;

/// A head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The address: none where it is null.
    pub address: Option<Piece>,
    /// Where the descriptions of its pieces stand, and how many.
    pub pieces: (u64, u64),
}

impl Head {
    /// Reads one.
    #[must_use]
    pub fn read(bytes: &[u8; HEAD]) -> Self {
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>());
            word.map_or(0, |word| u64::from_ne_bytes(*word))
        };
        let at = word(0);
        let length = word(8) & 0xffff_ffff;
        Self {
            address: (at != 0).then_some(Piece { at, length }),
            pieces: (word(16), word(24)),
        }
    }

    /// What of a head is changed when a message was received: where, and to what. `address`: how long
    /// that is; `cut`: whether something of the message was lost.
    #[must_use]
    pub fn received(address: usize, cut: bool) -> [(u64, Vec<u8>); 3] {
        let length = u32::try_from(address).unwrap_or_default();
        let flags = if cut { libc::MSG_TRUNC } else { 0 };
        [
            (8, length.to_ne_bytes().to_vec()),
            // No more than that comes with it.
            (40, 0_u64.to_ne_bytes().to_vec()),
            (48, flags.to_ne_bytes().to_vec()),
        ]
    }
}

/// Pieces, by their descriptions.
#[must_use]
pub fn pieces(bytes: &[u8]) -> Vec<Piece> {
    let (words, _) = bytes.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let piece = |[at, length]: &[[u8; 8]; 2]| Piece {
        at: u64::from_ne_bytes(*at),
        length: u64::from_ne_bytes(*length),
    };
    pairs.iter().map(piece).collect()
}

/// How much of so many bytes goes to which piece.
#[must_use]
pub fn spread(pieces: &[Piece], mut bytes: usize) -> Vec<Piece> {
    let mut parts = Vec::new();
    for piece in pieces {
        let length = usize::try_from(piece.length)
            .unwrap_or(usize::MAX)
            .min(bytes);
        if length > 0 {
            parts.push(Piece {
                at: piece.at,
                length: u64::try_from(length).unwrap_or_default(),
            });
        }
        bytes -= length;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_where_libc_has_it() {
        assert_eq!(size_of::<libc::msghdr>(), HEAD);
        assert_eq!(size_of::<libc::mmsghdr>() as u64, OF_SEVERAL);
        assert_eq!(
            std::mem::offset_of!(libc::mmsghdr, msg_len) as u64,
            LENGTH_AT
        );
        assert_eq!(std::mem::offset_of!(libc::msghdr, msg_namelen), 8);
        assert_eq!(std::mem::offset_of!(libc::msghdr, msg_iov), 16);
        assert_eq!(std::mem::offset_of!(libc::msghdr, msg_iovlen), 24);
        assert_eq!(std::mem::offset_of!(libc::msghdr, msg_controllen), 40);
        assert_eq!(std::mem::offset_of!(libc::msghdr, msg_flags), 48);
        let mut bytes = [0; HEAD];
        assert_eq!(Head::read(&bytes).address, None);
        for (at, word) in [(0, 0x10_u64), (8, 0xdead_0000_0010), (16, 0x20), (24, 3)] {
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        let head = Head::read(&bytes);
        assert_eq!(
            head.address,
            Some(Piece {
                at: 0x10,
                length: 0x10
            })
        );
        assert_eq!(head.pieces, (0x20, 3));
    }

    #[test]
    fn bytes_fill_pieces_in_order() {
        let piece = |at, length| Piece { at, length };
        let all = [piece(8, 4), piece(100, 0), piece(200, u64::MAX)];
        assert_eq!(spread(&all, 3), [piece(8, 3)]);
        assert_eq!(spread(&all, 10), [piece(8, 4), piece(200, 6)]);
        assert_eq!(spread(&all[..1], 10), [piece(8, 4)]);
        let written: Vec<u8> = [8_u64, 4, 100, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(pieces(&written), all[..2]);
        assert_eq!(pieces(&written[..15]), []);
    }
}
