//! Which versions of HTTP a client offers (ALPN, RFC 7301), and which was agreed on.

/// Of the versions that can be intercepted, those that a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Offer {
    h2: bool,
    http1: bool,
}

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

impl Offer {
    /// Nothing.
    pub(in crate::proxy) const NONE: Self = Self::of(false, false);

    const fn of(h2: bool, http1: bool) -> Self {
        Self { h2, http1 }
    }

    /// What a client's hello lists; whatever else it lists is none of ours.
    pub(super) fn listed<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        names.fold(Self::of(false, false), |offer, name| Self {
            h2: offer.h2 || name == H2,
            http1: offer.http1 || name == HTTP1,
        })
    }

    /// What a server agreed to alone.
    pub(in crate::proxy) fn agreed(name: Option<&[u8]>) -> Self {
        Self::listed(name.into_iter())
    }

    /// The one that most would choose of it.
    pub(super) fn best(self) -> Self {
        Self {
            http1: self.http1 && !self.h2,
            ..self
        }
    }

    /// Whether HTTP/2 is of it.
    pub(in crate::proxy) fn has_h2(self) -> bool {
        self.h2
    }

    /// As it is written in a hello.
    pub(super) fn names(self) -> Vec<Vec<u8>> {
        let h2 = self.h2.then(|| H2.to_vec());
        h2.into_iter()
            .chain(self.http1.then(|| HTTP1.to_vec()))
            .collect()
    }
}

/// Something for each offer.
#[derive(Debug)]
pub(super) struct ByOffer<T> {
    none: T,
    http1: T,
    h2: T,
    both: T,
}

impl<T> ByOffer<T> {
    /// Makes all of them.
    ///
    /// # Errors
    /// The first that making one gives.
    pub(super) fn make<E>(one: impl Fn(Offer) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            none: one(Offer::NONE)?,
            http1: one(Offer::of(false, true))?,
            h2: one(Offer::of(true, false))?,
            both: one(Offer::of(true, true))?,
        })
    }

    /// The one for this.
    pub(super) fn of(&self, offer: Offer) -> &T {
        match (offer.h2, offer.http1) {
            (false, false) => &self.none,
            (false, true) => &self.http1,
            (true, false) => &self.h2,
            (true, true) => &self.both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offer_has_its_own_and_lists_what_it_was_read_from() {
        let own = ByOffer::make(Ok::<_, ()>).unwrap();
        for (h2, http1) in [(false, false), (false, true), (true, false), (true, true)] {
            let offer = Offer::of(h2, http1);
            assert_eq!(*own.of(offer), offer);
            let names = offer.names();
            assert_eq!(Offer::listed(names.iter().map(Vec::as_slice)), offer);
        }
        assert_eq!(
            Offer::listed([b"spdy/3".as_slice(), b"h2"].into_iter()),
            Offer::of(true, false)
        );
        assert_eq!(Offer::of(true, true).best(), Offer::of(true, false));
        assert_eq!(Offer::of(false, true).best(), Offer::of(false, true));
    }
}
