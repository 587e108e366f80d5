//! Runs a program under a filter of system calls: any other call ends it, and so does any attempt to start a child.
//!
//! Called as `confined CALLS FAMILIES PROGRAM ARGUMENT...`, where `CALLS` and `FAMILIES` are the names of system calls and
//! the numbers of address families, each with commas between them.

use std::collections::HashMap;
use std::env::consts::ARCH;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

/// The flag of `clone` that makes a thread, of `linux/sched.h`.
const CLONE_THREAD: u64 = 0x0001_0000;
/// What the C library takes for a kernel without `clone3`, whose flags no filter can see.
const ENOSYS: u32 = 38;
/// What is looked at instead of being allowed as it is.
const LOOKED_AT: [&str; 3] = ["clone", "clone3", "socket"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("three arguments or more");
    let (calls, families, program) = (next(), next(), next());
    let arch = TargetArch::try_from(ARCH).expect("an architecture with filters");
    let calls = calls.split(',');
    // The groups name the calls of every architecture.
    let there = calls.filter(|call| compiled(&json!([{ "syscall": call }]), arch).is_some());
    let mut rules: Vec<Value> = there
        .filter(|call| !LOOKED_AT.contains(call))
        .map(|call| json!({ "syscall": call }))
        .collect();
    let thread = json!({
        "index": 0, "type": "qword", "op": { "masked_eq": CLONE_THREAD }, "val": CLONE_THREAD,
    });
    rules.push(json!({ "syscall": "clone", "args": [thread] }));
    rules.push(json!({ "syscall": "clone3" }));
    for family in families.split(',') {
        let family: u64 = family.parse().expect("the number of an address family");
        let family = json!({ "index": 0, "type": "dword", "op": "eq", "val": family });
        rules.push(json!({ "syscall": "socket", "args": [family] }));
    }
    let allowed = compiled(&json!(rules), arch).expect("a filter");
    let filter = json!({ "main": {
        "mismatch_action": "allow",
        "match_action": { "errno": ENOSYS },
        "filter": [{ "syscall": "clone3" }],
    }});
    let old = of_json(&filter, arch).expect("a filter");
    for filter in [&old, &allowed] {
        apply_filter(filter).expect("the filter is accepted");
    }
    let error = Command::new(program).args(arguments).exec();
    panic!("run the program: {error}");
}

/// Compiles rules that allow, where this architecture has what they name.
fn compiled(rules: &Value, arch: TargetArch) -> Option<BpfProgram> {
    let filter = json!({ "main": {
        "mismatch_action": "kill_process",
        "match_action": "allow",
        "filter": rules,
    }});
    of_json(&filter, arch)
}

fn of_json(filter: &Value, arch: TargetArch) -> Option<BpfProgram> {
    let text = filter.to_string();
    let mut programs: HashMap<String, BpfProgram> =
        compile_from_json(text.as_bytes(), arch).ok()?;
    programs.remove("main")
}
