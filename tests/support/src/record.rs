//! Reading a container's record: attempts that are over, each made of all of its lines; and
//! notices. Every line that any test reads is held against `record.schema.json`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../../record.schema.json")).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
});

/// Every line. Each must be whole, and of the form that is promised.
pub fn lines(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect::<Vec<Value>>();
    for line in &lines {
        let faults: Vec<String> = SCHEMA
            .iter_errors(line)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{faults:?} in {line}");
    }
    lines
}

/// The attempts that are over, as one object each, and the notices, in the order of their first
/// lines.
pub fn records(text: &str) -> Vec<Value> {
    let mut records: Vec<Value> = Vec::new();
    let mut of_flows: HashMap<u64, usize> = HashMap::new();
    for line in lines(text) {
        let flow = line["flow"].as_u64();
        match flow.and_then(|flow| of_flows.get(&flow)) {
            Some(first) => correct(&mut records[*first], &line),
            None => {
                of_flows.extend(flow.map(|flow| (flow, records.len())));
                records.push(line);
            }
        }
    }
    let over = |record: &Value| record["event"] == "end" || record["event"] == "notice";
    records.retain(over);
    records
}

/// What a later line of a flow says counts for the whole of it.
fn correct(record: &mut Value, later: &Value) {
    for (key, value) in later.as_object().expect("an object") {
        if key != "seq" && key != "time" {
            record[key] = value.clone();
        }
    }
}
