//! What is read of stores, and that what is written is read.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::*;

fn root(name: &str) -> CertificateDer<'static> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    parameters.self_signed(&key).unwrap().der().clone()
}

#[test]
fn what_is_written_is_read() {
    let roots = [root("a"), root("b")];
    assert_eq!(from_pem(to_pem(&roots).as_bytes()), roots);
    let entries = roots.clone().map(|certificate| jks::Entry {
        alias: "ä".to_owned(),
        created: 7,
        certificate,
    });
    assert_eq!(jks::read(&jks::write(&entries)).unwrap(), entries);
}

#[test]
fn what_is_no_root_is_passed_over_and_the_rest_is_not() {
    let (first, last) = (root("a"), root("b"));
    let key = KeyPair::generate().unwrap().serialize_pem();
    let text = format!(
        "# a comment\n{}{key}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
         -----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n\0\u{fffd}{}-----BEGIN CERTIFICATE-----\n",
        to_pem(std::slice::from_ref(&first)),
        to_pem(std::slice::from_ref(&last)),
    );
    let found = from_pem(text.replace('\u{fffd}', "\n").as_bytes());
    assert_eq!(found, [first, last]);
    assert_eq!(from_pem(&[0xff; 4096]), []);
}

#[test]
fn each_certificate_is_there_once() {
    let (one, other) = (root("a"), root("b"));
    let all = union([vec![one.clone()], vec![other.clone(), one.clone()]]);
    assert_eq!(all, [one, other]);
}

#[test]
fn a_store_that_is_cut_or_changed_anywhere_does_not_end_the_reader() {
    let entries = [jks::Entry {
        alias: "a".to_owned(),
        created: 0,
        certificate: root("a"),
    }];
    let store = jks::write(&entries);
    for at in 0..store.len() {
        let _ = jks::read(&store[..at]);
        let mut changed = store.clone();
        changed[at] ^= 0xff;
        let _ = jks::read(&changed);
        let _ = der::roots_within(&changed);
    }
}

/// A certificate in octet strings in sequences, and within a tag of context, as PKCS #12 has it.
#[test]
fn roots_are_found_however_deep_a_store_holds_them() {
    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x84][..], &length, content].concat()
    }
    let (one, other) = (root("a"), root("b"));
    let bag = |root: &CertificateDer<'_>| wrap(0x30, &wrap(0xa0, &wrap(0x04, root)));
    let store = wrap(0x30, &wrap(0x04, &[bag(&one), bag(&other)].concat()));
    assert_eq!(der::roots_within(&store), [one.clone(), other]);
    let deep = (0..100).fold(wrap(0x04, &one), |inner, _| wrap(0x30, &inner));
    assert_eq!(der::roots_within(&deep), []);
    assert_eq!(der::roots_within(&[0x30, 0x80, 0, 0]), []);
}

/// One certificate, as keytool keeps it in both of Java's forms, the second without a password.
#[test]
fn what_java_wrote_is_read_and_its_digest_is_ours() {
    let certificate = from_pem(include_bytes!("../../fuzz/seeds/trust_stores/pem"));
    assert_eq!(certificate.len(), 1);
    let store = include_bytes!("../../fuzz/seeds/trust_stores/jks");
    let entries = jks::read(store).unwrap();
    assert_eq!(entries[0].certificate, certificate[0]);
    assert_eq!(jks::write(&entries), store);
    let store = include_bytes!("../../fuzz/seeds/trust_stores/pkcs12");
    assert!(jks::read(store).is_none());
    assert_eq!(der::roots_within(store), certificate);
}
