//! What is refused, by the plan and by the kernel.

use super::*;

fn add_rule(chain: &str, expr: Expr) -> Operation {
    let rule = rule(&[expr]);
    Operation::AddRule {
        chain: chain.parse().unwrap(),
        fingerprint: Fingerprint::of(&rule),
        rule: Arc::new(rule),
    }
}

fn refused(objects: &[Object]) -> PlanError {
    let changes = Ruleset::of(objects.iter().cloned()).changes();
    match super::super::plan(&Catalog::default(), &changes, Extent::Whole) {
        Ok((plan, _)) => panic!("{plan:?}"),
        Err(error) => error,
    }
}

#[test]
fn a_missing_reference_names_both_ends() {
    let error = refused(&[chain("a", &[jump("b")])]);
    assert_eq!(
        error.to_string(),
        "chain `a` refers to chain `b`, which does not exist"
    );
    let error = refused(&[chain("a", &[in_set("s")])]);
    assert_eq!(
        error.to_string(),
        "chain `a` refers to set `s`, which does not exist"
    );
    let error = refused(&[map("m", &[entry("eth0", goto("b"))])]);
    assert_eq!(
        error.to_string(),
        "set `m` refers to chain `b`, which does not exist"
    );
}

#[test]
fn an_object_in_use_does_not_go() {
    let mut host = Host::with(&[
        chain("a", &[jump("b"), in_set("s")]),
        chain("b", &[]),
        addresses("s", &[]),
    ]);
    for (key, shown) in [(chain_key("b"), "chain `b`"), (set_key("s"), "set `s`")] {
        let error = host.part(&[(key, ObjectChange::Absent)]).unwrap_err();
        let expected = format!("{shown}: remove it: chain `a` refers to it");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn base_chains_are_no_targets() {
    let error = refused(&[chain("a", &[jump("b")]), base_chain("b", &[])]);
    assert_eq!(error.to_string(), "chain `a` jumps to the base chain `b`");
    let mut host = Host::with(&[chain("a", &[jump("b")]), chain("b", &[])]);
    let error = host.put(&[base_chain("b", &[])]).unwrap_err();
    let held = PlanError::Held {
        object: chain_key("b"),
        user: chain_key("a"),
    };
    assert_eq!(error, held);
    let both = [base_chain("b", &[]), chain("a", &[accept(), jump("b")])];
    let error = host.put(&both).unwrap_err();
    assert_eq!(error.to_string(), "chain `a` jumps to the base chain `b`");
    let both = [base_chain("b", &[]), chain("a", &[accept()])];
    host.put(&both).unwrap();
}

#[test]
fn look_ups_fit_what_they_look_up_in() {
    let error = refused(&[chain("a", &[vmap("s")]), addresses("s", &[])]);
    assert_eq!(
        error.to_string(),
        "chain `a` looks up in `s`: it is a map where a set is asked, or a set where a map is"
    );
    let ports = Expr::in_set(
        vec![Key::Port(Side::Source)],
        Comparison::Is,
        "s".parse().unwrap(),
    );
    let error = refused(&[chain("a", &[ports]), addresses("s", &[])]);
    assert_eq!(
        error.to_string(),
        "chain `a` looks up in `s`: its key is of another type"
    );
}

#[test]
fn expressions_stay_where_the_kernel_takes_them() {
    let of = |kind, hook| BaseChain {
        kind,
        hook,
        priority: 0,
    };
    let filter = |hook| of(ChainType::Filter, hook);
    let nat = |hook| of(ChainType::Nat, hook);
    let address = "192.0.2.1".parse().unwrap();
    let dnat = Expr::Dnat {
        address,
        port: None,
    };
    let snat = Expr::Snat {
        address,
        ports: None,
    };
    let masquerade = Expr::Masquerade { ports: None };
    let reject = Expr::Reject(RejectWith::PortUnreachable);
    for (expr, right, wrong) in [
        (
            Expr::NoReversePath,
            vec![
                filter(Hook::Prerouting),
                filter(Hook::Input),
                filter(Hook::Forward),
            ],
            vec![filter(Hook::Output), filter(Hook::Postrouting)],
        ),
        (
            dnat,
            vec![nat(Hook::Prerouting), nat(Hook::Output)],
            vec![filter(Hook::Prerouting), nat(Hook::Postrouting)],
        ),
        (
            snat,
            vec![nat(Hook::Postrouting), nat(Hook::Input)],
            vec![filter(Hook::Postrouting), nat(Hook::Output)],
        ),
        (
            masquerade,
            vec![nat(Hook::Postrouting)],
            vec![filter(Hook::Postrouting), nat(Hook::Input)],
        ),
        (
            reject,
            vec![filter(Hook::Output), filter(Hook::Prerouting)],
            vec![filter(Hook::Postrouting)],
        ),
    ] {
        let through_a_map = |base| {
            vec![
                chain_of("base", Some(base), &[rule(&[vmap("m")])]),
                map("m", &[entry("eth0", goto("a"))]),
                chain("a", &[jump("b")]),
                chain("b", std::slice::from_ref(&expr)),
            ]
        };
        for base in right {
            Host::with(&through_a_map(base));
        }
        for base in wrong {
            let objects = through_a_map(base);
            let error = refused(&objects).to_string();
            let expected = format!(
                "chain `b`: `{expr}` cannot be reached from the base chain `base` ({base})"
            );
            assert_eq!(error, expected);
            // The kernel in memory would have refused it too.
            let mut host = Host::with(&objects[1..]);
            let operations = [
                Operation::AddChain {
                    name: "base".parse().unwrap(),
                    base: Some(base),
                },
                add_rule("base", vmap("m")),
            ];
            let outcome = commit(&mut host.kernel, &operations);
            assert_eq!(outcome, Some((1, Errno::NotSupported)), "{expr} {base}");
        }
    }
}

#[test]
fn loops_are_found_wherever_they_close() {
    let error = refused(&[chain("a", &[jump("a")])]);
    assert_eq!(error.to_string(), "a loop: chain `a` -> chain `a`");

    let mut host = Host::with(&[
        base_chain("base", &[jump("a")]),
        chain("a", &[jump("b")]),
        chain("b", &[vmap("m")]),
        chain("c", &[accept()]),
        map("m", &[entry("eth0", goto("c"))]),
    ]);
    let change = ObjectChange::Elements {
        added: vec![entry("eth1", goto("a"))],
        removed: vec![],
    };
    let error = host.part(&[(set_key("m"), change)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a loop: set `m` -> chain `a` -> chain `b` -> set `m`"
    );
    let error = host.put(&[chain("c", &[jump("b")])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a loop: set `m` -> chain `c` -> chain `b` -> set `m`"
    );
}

/// Makes a base chain that is followed by `count` others, one after the other.
fn ladder(count: usize) -> Vec<Object> {
    let name = |number: usize| format!("c{number:02}");
    let mut objects = vec![base_chain("base", &[jump(&name(1))])];
    for number in 1..count {
        objects.push(chain(&name(number), &[jump(&name(number + 1))]));
    }
    objects.push(chain(&name(count), &[accept()]));
    objects
}

#[test]
fn sixteen_chains_follow_one_another_and_no_more() {
    let mut host = Host::with(&ladder(15));
    let error = host.put(&[chain("c15", &[jump("c16")]), chain("c16", &[accept()])]);
    let text = error.unwrap_err().to_string();
    assert!(
        text.starts_with("17 chains follow one another, the kernel allows 16: chain `base` -> "),
        "{text}"
    );
    // What goes makes room again, although heights are not lowered at once.
    let shorter = chain("c01", &[jump("c03")]);
    let longer = [chain("c15", &[jump("c16")]), chain("c16", &[accept()])];
    host.put(&[shorter]).unwrap();
    host.part(&[(chain_key("c02"), ObjectChange::Absent)])
        .unwrap();
    host.put(&longer).unwrap();
}

#[test]
fn unsound_changes_are_refused() {
    let mut host = Host::with(&[addresses("s", &["10.0.0.0/8"])]);
    let elements = |added: Element| ObjectChange::Elements {
        added: vec![added],
        removed: vec![],
    };
    let error = host.part(&[(set_key("t"), elements(net("10.0.0.0/8")))]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "set `t`: change its elements: there is no such set"
    );
    let error = host.part(&[(set_key("s"), elements(net("fe80::/10")))]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "set `s`: element fe80::/10: its key is of another type than the set's"
    );
    let error = host.part(&[(chain_key("s"), addresses("s", &[]).into())]);
    let key = chain_key("s");
    assert_eq!(error, Err(PlanError::Misfiled { key }));
}

/// Commits steps by hand and returns the place and reason of the refusal.
fn commit(kernel: &mut Applied, operations: &[Operation]) -> Option<(usize, Errno)> {
    let before = kernel.clone();
    let operations = operations.to_vec();
    let outcome = kernel.commit(&Plan { operations });
    outcome.err().map(|error| {
        assert_eq!(*kernel, before, "a refused transaction changes nothing");
        (error.index, error.errno)
    })
}

#[test]
fn the_kernel_in_memory_is_strict() {
    let Object::Set(set, elements) = addresses("s", &["10.0.0.0/8"]) else {
        panic!();
    };
    let Object::Set(map, gotos) = map("m", &[entry("eth0", goto("a"))]) else {
        panic!();
    };
    let add_chain = |name: &str, base| Operation::AddChain {
        name: name.parse().unwrap(),
        base,
    };
    let add = |set: &Arc<SetSpec>, elements: &[Element]| Operation::AddElements {
        set: set.clone(),
        elements: Arc::new(elements.to_vec()),
    };
    let delete = |nets: &[Element]| Operation::DeleteElements {
        set: set.clone(),
        elements: Arc::new(nets.to_vec()),
    };
    let mut empty = Applied::default();
    let no_table = commit(&mut empty, &[Operation::AddSet(set.clone())]);
    assert_eq!(no_table, Some((0, Errno::NoEntry)));

    let mut kernel = Applied::default();
    let start = [
        Operation::AddTable,
        Operation::AddSet(set.clone()),
        Operation::AddSet(map.clone()),
        add_chain("base", Some(input())),
        add_chain("a", None),
        add(&set, &elements),
        add(&map, &gotos),
        add_rule("base", vmap("m")),
        add_rule("a", in_set("s")),
    ];
    assert_eq!(commit(&mut kernel, &start), None);
    let delete_chain = |name: &str| Operation::DeleteChain(name.parse().unwrap());
    let delete_set = |name: &str| Operation::DeleteSet(name.parse().unwrap());
    let full = SetSpec {
        size: Some(1),
        name: "full".parse().unwrap(),
        ..(*set).clone()
    };
    let full = Arc::new(full);
    let two = [net("10.0.0.0/8"), net("11.0.0.0/8")];
    let cases: &[(&[Operation], usize, Errno)] = &[
        (&[delete(&[net("11.0.0.0/8")])], 0, Errno::NoEntry),
        (&[delete_chain("b")], 0, Errno::NoEntry),
        (&[delete_chain("a")], 0, Errno::Busy),
        (&[delete_set("s")], 0, Errno::Busy),
        (&[delete_set("m")], 0, Errno::Busy),
        (&[add_chain("a", None)], 0, Errno::Exists),
        (&[Operation::AddSet(set.clone())], 0, Errno::Exists),
        (&[add(&set, &[net("10.1.0.0/16")])], 0, Errno::Exists),
        (&[add(&set, &[net("8.0.0.0/6")])], 0, Errno::Exists),
        (&[add(&set, &[net("fe80::/10")])], 0, Errno::Invalid),
        (
            &[add(&map, &[entry("eth0", Verdict::Drop)])],
            0,
            Errno::Exists,
        ),
        (&[add(&map, &[entry("eth1", goto("b"))])], 0, Errno::NoEntry),
        (
            &[add(&map, &[entry("eth1", goto("base"))])],
            0,
            Errno::NotSupported,
        ),
        (&[add_rule("a", jump("b"))], 0, Errno::NoEntry),
        (&[add_rule("a", jump("base"))], 0, Errno::NotSupported),
        (&[add_rule("a", in_set("m"))], 0, Errno::Invalid),
        (
            &[Operation::AddTable, add_rule("a", vmap("m"))],
            1,
            Errno::TooManyLinks,
        ),
        (
            &[Operation::AddSet(full.clone()), add(&full, &two)],
            1,
            Errno::TooManyElements,
        ),
    ];
    for (operations, index, errno) in cases {
        let outcome = commit(&mut kernel, operations);
        assert_eq!(outcome, Some((*index, *errno)), "{operations:?}");
    }
    let fine = [
        add(&set, &elements),
        add(&map, &gotos),
        delete(&elements),
        add(&set, &[net("10.1.0.0/16")]),
        Operation::FlushChain("base".parse().unwrap()),
        delete_set("m"),
        delete_chain("a"),
        delete_set("s"),
        Operation::DeleteTable,
    ];
    assert_eq!(commit(&mut kernel, &fine), None);
    assert_eq!(kernel, Applied::default());
}

#[test]
fn a_refused_step_is_told_in_a_few_words() {
    let Object::Set(set, _) = addresses("s", &[]) else {
        panic!();
    };
    let overlapping = vec![net("10.0.0.0/8"), net("10.2.0.0/16")];
    let operations = vec![
        Operation::AddTable,
        Operation::AddSet(set.clone()),
        Operation::AddElements {
            set,
            elements: Arc::new(overlapping),
        },
    ];
    let error = Applied::default().commit(&Plan { operations });
    assert_eq!(
        error.unwrap_err().to_string(),
        "set `s`: add 2 elements: file exists (EEXIST)"
    );
}
