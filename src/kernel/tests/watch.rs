use super::*;
use crate::kernel::decode::Messages;
use crate::kernel::encode::consts::attribute::{
    NFTA_RULE_CHAIN, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE,
    NFTA_TABLE_NAME,
};
use crate::kernel::encode::consts::nfnetlink::{NFPROTO_INET, NFPROTO_IPV4, NFPROTO_UNSPEC};

fn table() -> TableName {
    "tortie".parse().unwrap()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = u16::try_from(4 + value.len()).unwrap();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn message(kind: u16, family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let body = attributes.concat();
    let mut bytes = Vec::new();
    let length = u32::try_from(20 + body.len()).unwrap();
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(body);
    bytes
}

fn rule(table: &str, family: u8, chain: &str) -> Vec<u8> {
    let attributes = [text(NFTA_RULE_TABLE, table), text(NFTA_RULE_CHAIN, chain)];
    message(message::NEWRULE, family, &attributes)
}

fn end(generation: u32) -> Vec<u8> {
    let attributes = [
        attribute(NFTA_GEN_ID, &generation.to_be_bytes()),
        attribute(NFTA_GEN_PROC_PID, &77_u32.to_be_bytes()),
        text(NFTA_GEN_PROC_NAME, "nft"),
    ];
    message(message::NEWGEN, NFPROTO_UNSPEC, &attributes)
}

fn ear(generation: u32) -> Ear {
    Ear {
        generation,
        ..Ear::default()
    }
}

fn told(ear: &mut Ear) -> Vec<String> {
    let heard = std::mem::take(&mut ear.heard);
    let told = heard.into_iter().map(|heard| match heard {
        Heard::Foreign { touched, author } => {
            let author = author.map_or("nobody".to_owned(), |author| author.to_string());
            format!("{touched} by {author}")
        }
        Heard::Missed(why) => format!("{why:?}"),
    });
    told.collect()
}

#[test]
fn a_transaction_is_told_when_its_end_has_come_and_with_who_made_it() {
    let mut ear = ear(4);
    ear.hear(&rule("tortie", NFPROTO_INET, "a"), &table());
    ear.hear(
        &[
            rule("tortie", NFPROTO_INET, "a"),
            message(
                message::DELSETELEM,
                NFPROTO_INET,
                &[
                    text(NFTA_SET_ELEM_LIST_TABLE, "tortie"),
                    text(NFTA_SET_ELEM_LIST_SET, "s"),
                ],
            ),
        ]
        .concat(),
        &table(),
    );
    assert!(ear.heard.is_empty());
    ear.hear(&end(5), &table());
    assert_eq!(
        told(&mut ear),
        [
            "chain `a`: 2 rules added; set `s`: 0 elements removed by process 77 (`nft`)"
                .to_owned()
        ]
    );
}

#[test]
fn what_is_about_other_tables_is_nothing_to_us() {
    let mut ear = ear(4);
    for (number, (name, family)) in [
        ("other", NFPROTO_INET),
        ("tortie", NFPROTO_IPV4),
        ("tortie2", NFPROTO_INET),
    ]
    .into_iter()
    .enumerate()
    {
        let generation = 5 + u32::try_from(number).unwrap();
        let datagram = [rule(name, family, "a"), end(generation)].concat();
        ear.hear(&datagram, &table());
    }
    assert!(told(&mut ear).is_empty());
    assert_eq!(ear.generation, 7);
}

#[test]
fn a_gap_in_the_generations_says_that_something_was_missed() {
    let mut ear = ear(4);
    ear.hear(&end(6), &table());
    assert_eq!(told(&mut ear), ["Generation"]);
    // One that was counted before it was announced.
    ear.hear(&end(6), &table());
    ear.hear(&end(7), &table());
    assert!(told(&mut ear).is_empty());
    ear.hear(&rule("tortie", NFPROTO_INET, "a"), &table());
    ear.overrun();
    assert_eq!(
        told(&mut ear),
        ["chain `a`: 1 rule added by nobody", "Overrun"]
    );
}

#[test]
fn the_table_itself_is_an_object_too() {
    let mut ear = ear(u32::MAX);
    let deleted = message(
        message::DELTABLE,
        NFPROTO_INET,
        &[text(NFTA_TABLE_NAME, "tortie")],
    );
    ear.hear(&[deleted, end(0)].concat(), &table());
    assert_eq!(told(&mut ear), ["the table: removed by process 77 (`nft`)"]);
}

#[test]
fn a_flood_of_names_is_cut_off_and_nothing_is_believed() {
    let mut touched = Touched::default();
    for number in 0..5000 {
        let bytes = rule("tortie", NFPROTO_INET, &format!("c{number}"));
        let message = Messages(&bytes).next().unwrap();
        assert!(touched.take(message, &table()));
    }
    assert!(touched.to_string().len() < 500);
    assert!(touched.to_string().ends_with("; and many more"));
    assert!(!touched.into_distrust().is_empty());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_heard_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let mut ear = ear(1);
        ear.hear(&bytes, &table());
        ear.end();
        proptest::prop_assert!(ear.heard.len() <= 13);
    }
}
