//! Diagrams are one for one function, and a walk finds what there is to find.

use super::*;
use proptest::prelude::*;

impl Diagram {
    /// What it says of one call.
    pub(in super::super) fn says(&self, words: &[u32; WORDS]) -> Answer {
        let mut id = self.root;
        loop {
            match self.nodes[id as usize] {
                Node::Answer(answer) => return answer,
                Node::Ask { bit, clear, set } => {
                    let word = [1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
                        [usize::from(bit / 32)];
                    id = if words[word] >> (bit % 32) & 1 == 1 {
                        set
                    } else {
                        clear
                    };
                }
            }
        }
    }
}

fn condition(comparison: Comparison, mask: u32, number: u32) -> Diagram {
    let mut builder = Builder::default();
    let root = builder.condition(3, mask, comparison, number).unwrap();
    builder.finish(root)
}

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![
        0..6_u32,
        any::<u32>(),
        (0..32_u32).prop_map(|place| 1 << place),
        Just(u32::MAX)
    ]
}

proptest! {
    #[test]
    fn a_condition_holds_where_its_comparison_does(mask in any_number(), number in any_number(), tried in any_number()) {
        let masked = tried & mask;
        for (comparison, holds) in [
            (Comparison::Equal, masked == number),
            (Comparison::Greater, masked > number),
            (Comparison::GreaterOrEqual, masked >= number),
            (Comparison::AnyBit, masked & number != 0),
        ] {
            let mut words = [0; WORDS];
            words[3] = tried;
            prop_assert_eq!(condition(comparison, mask, number).says(&words), Answer::Truth(holds), "{:?}", comparison);
        }
    }

    #[test]
    fn the_same_is_one_node_however_it_was_put(number in 0..u32::MAX) {
        let mut builder = Builder::default();
        let (yes, no) = (builder.answer(Answer::Truth(true)).unwrap(), builder.answer(Answer::Truth(false)).unwrap());
        let mut condition = |comparison, number| builder.condition(0, u32::MAX, comparison, number).unwrap();
        let (greater, next) = (condition(Comparison::Greater, number), condition(Comparison::GreaterOrEqual, number + 1));
        prop_assert_eq!(greater, next);
        // Greater or equal, and not greater: equal.
        let (at_least, equal) = (condition(Comparison::GreaterOrEqual, number), condition(Comparison::Equal, number));
        let not_greater = builder.choose(greater, no, yes).unwrap();
        prop_assert_eq!(builder.choose(at_least, not_greater, no).unwrap(), equal);
    }

    #[test]
    fn the_one_call_that_differs_is_found(word in 0..WORDS, number: u32, other in 0..WORDS, value: u32) {
        let mut builder = Builder::default();
        let mut needle = builder.answer(Answer::Truth(true)).unwrap();
        let no = builder.answer(Answer::Truth(false)).unwrap();
        let mut words = [0; WORDS];
        for (word, number) in [(word, number), (other, value)] {
            words[word] = number;
        }
        for (word, number) in words.into_iter().enumerate() {
            let condition = builder.condition(word, u32::MAX, Comparison::Equal, number).unwrap();
            needle = builder.choose(condition, needle, no).unwrap();
        }
        let needle = builder.finish(needle);
        let mut builder = Builder::default();
        let nothing = builder.answer(Answer::Truth(false)).unwrap();
        let nothing = builder.finish(nothing);
        let found = find([&needle, &nothing], |[one, two]| one != two).unwrap();
        prop_assert_eq!(found, Some(Found { words, answers: [Answer::Truth(true), Answer::Truth(false)] }));
        prop_assert_eq!(find([&needle, &needle], |[one, two]| one != two).unwrap(), None);
    }
}

#[test]
fn what_doubles_with_every_condition_is_refused_in_the_end() {
    // Whether two halves of a word are equal, with all of the one half asked for before the other:
    // 2^16 cases, twice over.
    let mut builder = Builder::default();
    let (yes, no) = (
        builder.answer(Answer::Truth(true)).unwrap(),
        builder.answer(Answer::Truth(false)).unwrap(),
    );
    let outcome = (0..32).try_fold(yes, |all, place| {
        let left = builder.condition(4, 1 << place, Comparison::AnyBit, 1 << place)?;
        let right = builder.condition(5, 1 << place, Comparison::AnyBit, 1 << place)?;
        let not_right = builder.choose(right, no, yes)?;
        let same = builder.choose(left, right, not_right)?;
        builder.choose(same, all, no)
    });
    assert_eq!(outcome, Err(TooLarge));
}
