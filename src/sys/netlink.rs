//! (founder)
