//! What the patch at `create` costs, on a filter of the size of Docker's. It promises to be below a
//! millisecond.

#![expect(missing_docs, reason = "criterion's macros make the items")]

use std::hint::black_box;

use boundary_shim::seccomp::{patch, tier::Tier};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};

/// As dockerd writes it: one long entry, some short ones, `clone` masked.
fn filter() -> Value {
    let names: Vec<String> = (0..380)
        .map(|number| format!("some_system_call_{number}"))
        .collect();
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    for value in 0..12 {
        let args = json!([{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]);
        rules.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args}));
    }
    let args = json!([{"index": 0, "value": 2_114_060_288_u64, "op": "SCMP_CMP_MASKED_EQ"}]);
    rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": args}));
    rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    let architectures = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules})
}

fn at_create(criterion: &mut Criterion) {
    let fresh = filter();
    for tier in [Tier::Nsjail, Tier::Bwrap] {
        criterion.bench_function(&format!("patch a filter for {}", tier.name()), |bencher| {
            let patched = |mut filter| black_box(patch::oci(&mut filter, tier)).is_ok();
            bencher.iter_batched(|| fresh.clone(), patched, BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, at_create);
criterion_main!(benches);
