//! Chooses the personality. Nothing else happens here.

fn main() {}
