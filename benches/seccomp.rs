//! What the check of a patched filter costs, with a filter of the size of Docker's default one.
#![expect(
    missing_docs,
    reason = "criterion's macro makes an undocumented function"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that can't go on says where"
)]

use boundary_shim::seccomp::filter::Filter;
use boundary_shim::seccomp::proof::compile::compile;
use boundary_shim::seccomp::proof::fingerprint::fingerprint;
use boundary_shim::seccomp::proof::symbolic;
use boundary_shim::seccomp::proof::verify::verify;
use boundary_shim::seccomp::tier::Tier;
use criterion::{Criterion, criterion_group, criterion_main};
use libseccomp::ScmpSyscall;
use serde_json::{Value, json};

/// Calls that the filter allows whatever their arguments.
const ALLOWED: usize = 340;

/// A filter for x86_64 and its two smaller ones, with conditions as Docker has them.
fn filter(more: &[Value]) -> Value {
    let known = (0..450).filter_map(|number| ScmpSyscall::from(number).get_name().ok());
    let plain = known.filter(|name| {
        !["clone", "clone3", "unshare", "personality", "socket"].contains(&name.as_str())
    });
    let names: Vec<String> = plain.take(ALLOWED).collect();
    let on_first = |name: &str, operator: &str, value: u64| json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": value, "op": operator}]});
    let mut rules = vec![json!({"names": names, "action": "SCMP_ACT_ALLOW"})];
    rules.push(on_first("socket", "SCMP_CMP_NE", 40));
    rules.extend(
        [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff]
            .map(|value| on_first("personality", "SCMP_CMP_EQ", value)),
    );
    rules.push(on_first("clone", "SCMP_CMP_MASKED_EQ", 0x7e02_0000));
    rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    rules.extend_from_slice(more);
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

fn seccomp(criterion: &mut Criterion) {
    let forbidden = json!({"index": 0, "value": 0x2e02_0000, "op": "SCMP_CMP_MASKED_EQ"});
    let before = filter(&[]);
    let after =
        filter(&[json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [forbidden]})]);
    let (was, is) = (
        Filter::read(&before).unwrap(),
        Filter::read(&after).unwrap(),
    );
    let program = compile(&is).unwrap();
    criterion.bench_function("compile", |bench| bench.iter(|| compile(&is).unwrap()));
    criterion.bench_function("diagram", |bench| {
        bench.iter(|| symbolic::diagram(&program).unwrap())
    });
    criterion.bench_function("verify", |bench| {
        bench.iter(|| verify(&was, &is, Tier::Nsjail).unwrap())
    });
    criterion.bench_function("fingerprint", |bench| {
        bench.iter(|| fingerprint(&before, &after, Tier::Nsjail).unwrap())
    });
}

criterion_group!(benches, seccomp);
criterion_main!(benches);
