//! An image's trust stores, in all forms that are read, and what is made of them.

#![no_main]

use boundary_shim::certificates::{MOST, der, from_pem, is_root, jks, to_pem, union};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let java = jks::read(bytes).unwrap_or_default();
    let in_java = java.iter().map(|entry| entry.certificate.clone()).collect();
    let lists = [from_pem(bytes), der::roots_within(bytes), in_java];
    assert!(lists.iter().all(|list| list.len() <= MOST));
    assert_eq!(jks::read(&jks::write(&java)).as_ref(), Some(&java));
    let all = union(lists);
    // What goes on is certificates, and they are read as what they were.
    assert!(all.iter().all(is_root));
    assert_eq!(from_pem(to_pem(&all).as_bytes()), all);
});
