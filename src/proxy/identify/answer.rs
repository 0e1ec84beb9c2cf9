//! The result type that the protocol parsers share.

/// What a parser says about the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// It is this.
    Found(T),
    /// It certainly isn't.
    Not,
    /// It may be; these bytes don't tell yet.
    NeedMore,
    /// It is, or claims to be, but in a form that nobody could decide about. In words for the
    /// record.
    Refused(&'static str),
}
