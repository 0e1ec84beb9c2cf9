//! Engines' own configuration. (helper E)
