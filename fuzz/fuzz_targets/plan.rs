//! What shim, hook and keeper tell each other by files: the plan in the bundle, the record in the
//! state directory; and what the filter, which may be anybody's, tells its keeper.

#![no_main]

use boundary_shim::container::plan::{ContainerId, Plan};
use boundary_shim::container::state::SavedState;
use boundary_shim::policy::Policy;
use boundary_shim::proxy::keeper::ToKeeper;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(plan) = serde_json::from_slice::<Plan>(bytes) {
        let _ = Policy::compile(&plan.policy);
        let _ = ContainerId::parse(&plan.container);
        survives(&plan);
    }
    if let Ok(record) = serde_json::from_slice::<SavedState>(bytes) {
        survives(&record);
    }
    if let Ok(word) = ToKeeper::decode(bytes) {
        survives(&word);
    }
});

/// Written and read again, it says the same.
fn survives<T: Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).expect("as it was read");
    let read: T = serde_json::from_str(&text).expect("as it was written");
    assert_eq!(serde_json::to_string(&read).expect("as it was read"), text);
}
