//! What is said on a gateway's control socket: read from anything, it is a question or is told why it
//! is none, and a policy in it compiles or has mistakes.

#![no_main]

use boundary_shim::control::{Request, Response};
use boundary_shim::policy::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match Request::read(bytes) {
    Ok(Request::Policy(new)) => {
        let hash = new.source.hash();
        let _ = Policy::compile(&new.source);
        assert_eq!(new.source.hash(), hash);
    }
    Ok(_) => {}
    Err(answer) => {
        assert!(matches!(answer, Response::NotUnderstood(_)));
        answer.frame().expect("its text is bounded");
    }
});
