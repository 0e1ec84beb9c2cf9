//! DNS. (helper D)

/// Asks resolvers and remembers answers.
#[derive(Debug)]
pub struct Resolver(());
