//! The runtime personality: called as runc is, edits the bundle, hands off. (helper B)
