//! Operator commands. (helper E)
