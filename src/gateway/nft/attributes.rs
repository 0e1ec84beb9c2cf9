//! Netlink attributes, as nf_tables wants them: numbers are big-endian.

const NLA_F_NESTED: u16 = 0x8000;

/// Netlink attributes: length, type, value, padding to four bytes (netlink(7)).
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What stands in another list, behind what is here.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    pub(super) fn raw(&mut self, kind: u16, value: &[u8]) {
        let length =
            u16::try_from(4 + value.len()).expect("our attributes are a few hundred bytes");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.raw(kind, &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.raw(kind, &terminated);
    }

    /// `NFTA_DATA_VALUE` within.
    pub(super) fn value(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |data| data.raw(1, value));
    }

    pub(super) fn nested(&mut self, kind: u16, build: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        build(&mut inner);
        self.raw(kind | NLA_F_NESTED, &inner.0);
    }
}

/// A length as messages and registers have it.
pub(super) fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a message of ours is a few kilobytes")
}
