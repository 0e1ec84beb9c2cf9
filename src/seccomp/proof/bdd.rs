//! What a program says of every call there can be, as a decision diagram over the bits of a call.
//!
//! A diagram asks for one bit after the other, in a fixed order, and ends in an answer; nothing in
//! it is asked twice, and of equal parts there is one. A word that no program looks at is not in
//! it. So a whole program, over all 2^512 calls, is a thousand nodes or so, and two of them are
//! compared exactly by walking both at once (`find`): no list of calls to try, no trust in what
//! libseccomp makes of a condition, and a difference comes with the call that shows it.
//!
//! (Reduced ordered binary decision diagrams: Bryant, "Graph-Based Algorithms for Boolean Function
//! Manipulation", 1986.)

use foldhash::{HashMap, HashSet};

use super::cbpf::WORDS;
use crate::seccomp::filter::Action;

/// Nodes and choices that are made at most for one diagram, and steps of one walk. Docker's profile
/// takes some 8,000; conditions made to be hard could take any number.
const MOST: usize = 1 << 17;

/// What a node is known by. Below it are only older ones.
pub(super) type Id = u32;

/// Diagrams that are too large for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its conditions are too many and too entangled to be checked")]
pub struct TooLarge;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    Answer(Answer),
    Ask { bit: u16, clear: Id, set: Id },
}

/// How a diagram ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// A condition's: whether it holds.
    Truth(bool),
    /// A program's.
    Action(Action),
}

/// How a word, of which only the bits of a mask count, is compared with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    /// Any bit is set in both.
    AnyBit,
}

/// A diagram.
#[derive(Debug)]
pub struct Diagram {
    nodes: Vec<Node>,
    root: Id,
}

/// Makes a diagram, from the answers up.
#[derive(Debug, Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    known: HashMap<Node, Id>,
    choices: HashMap<(Id, Id, Id), Id>,
}

impl Builder {
    /// The diagram below a node.
    pub(super) fn finish(self, root: Id) -> Diagram {
        Diagram {
            nodes: self.nodes,
            root,
        }
    }

    /// A diagram that is nothing but an answer.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<Id, TooLarge> {
        self.node(Node::Answer(answer))
    }

    /// The condition that a word of a call, masked, compares so with a number.
    ///
    /// Bits are asked from the least significant: then what is left of `number == 5` after its low
    /// bits, "the others are zero", is the same for all small numbers. What is known on the way is
    /// one truth, that of the bits so far.
    pub(super) fn condition(
        &mut self,
        word: usize,
        mask: u32,
        comparison: Comparison,
        number: u32,
    ) -> Result<Id, TooLarge> {
        let mut so_far = [
            self.answer(Answer::Truth(false))?,
            self.answer(Answer::Truth(true))?,
        ];
        for place in (0..u32::BITS).rev() {
            let theirs = number >> place & 1 == 1;
            let [no, yes] = so_far;
            // What the comparison says with this bit, if that is what it said without.
            let with = |bit: bool, truth: Id| match comparison {
                Comparison::Equal if bit != theirs => no,
                Comparison::AnyBit if bit && theirs => yes,
                Comparison::Greater | Comparison::GreaterOrEqual if bit != theirs => {
                    [no, yes][usize::from(bit)]
                }
                _ => truth,
            };
            let bits = so_far.map(|truth| (with(false, truth), with(true, truth)));
            for (truth, (clear, set)) in so_far.iter_mut().zip(bits) {
                let counts = mask >> place & 1 == 1;
                *truth = if counts {
                    self.ask(bit(word, place), clear, set)?
                } else {
                    clear
                };
            }
        }
        let [from_false, from_true] = so_far;
        Ok(match comparison {
            Comparison::Equal | Comparison::GreaterOrEqual => from_true,
            Comparison::Greater | Comparison::AnyBit => from_false,
        })
    }

    /// One diagram where a condition holds, and another where it doesn't.
    pub(super) fn choose(&mut self, condition: Id, holds: Id, fails: Id) -> Result<Id, TooLarge> {
        match self.get(condition) {
            Node::Answer(Answer::Truth(true)) => return Ok(holds),
            Node::Answer(_) => return Ok(fails),
            Node::Ask { .. } if holds == fails => return Ok(holds),
            Node::Ask { .. } => {}
        }
        if let Some(known) = self.choices.get(&(condition, holds, fails)) {
            return Ok(*known);
        }
        if self.choices.len() >= MOST {
            return Err(TooLarge);
        }
        let all = [condition, holds, fails].map(|id| self.get(id));
        let bit = first_bit(&all).expect("the condition asks for a bit");
        let below = |set: bool| {
            let mut branches = [condition, holds, fails];
            branches
                .iter_mut()
                .zip(&all)
                .for_each(|(id, node)| *id = node.below(*id, bit, set));
            branches
        };
        let ([c, h, f], [d, i, g]) = (below(false), below(true));
        let (clear, set) = (self.choose(c, h, f)?, self.choose(d, i, g)?);
        let made = self.ask(bit, clear, set)?;
        self.choices.insert((condition, holds, fails), made);
        Ok(made)
    }

    fn ask(&mut self, bit: u16, clear: Id, set: Id) -> Result<Id, TooLarge> {
        if clear == set {
            Ok(clear)
        } else {
            self.node(Node::Ask { bit, clear, set })
        }
    }

    fn node(&mut self, node: Node) -> Result<Id, TooLarge> {
        if let Some(known) = self.known.get(&node) {
            return Ok(*known);
        }
        let id = Id::try_from(self.nodes.len())
            .ok()
            .filter(|_| self.nodes.len() < MOST)
            .ok_or(TooLarge)?;
        self.nodes.push(node);
        self.known.insert(node, id);
        Ok(id)
    }

    fn get(&self, id: Id) -> Node {
        *self.nodes.get(id as usize).expect("an id is a node's")
    }
}

impl Node {
    /// The node to go on with after a bit, which may be one that this node doesn't ask for.
    fn below(self, own: Id, bit: u16, is_set: bool) -> Id {
        match self {
            Self::Ask {
                bit: asked,
                clear,
                set,
            } if asked == bit => {
                if is_set {
                    set
                } else {
                    clear
                }
            }
            _ => own,
        }
    }
}

fn first_bit(nodes: &[Node]) -> Option<u16> {
    nodes
        .iter()
        .filter_map(|node| {
            if let Node::Ask { bit, .. } = node {
                Some(*bit)
            } else {
                None
            }
        })
        .min()
}

/// When a bit of a word is asked for: the architecture first, as programs do, then the number, then
/// the rest.
fn bit(word: usize, place: u32) -> u16 {
    let turn = if word < 2 { 1 - word } else { word };
    u16::try_from(turn).unwrap_or_default() * 32 + u16::try_from(place).unwrap_or_default()
}

/// A call that was looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<const N: usize> {
    /// The call's words. Bits that no diagram asks for are zero.
    pub(super) words: [u32; WORDS],
    /// What each diagram says of it.
    pub(super) answers: [Answer; N],
}

/// A call of which diagrams together say what is wanted, if there is one.
///
/// # Errors
/// [`TooLarge`], where it takes too long to tell.
pub(super) fn find<const N: usize>(
    diagrams: [&Diagram; N],
    wanted: impl Fn([Answer; N]) -> bool,
) -> Result<Option<Found<N>>, TooLarge> {
    let mut walk = Walk {
        diagrams,
        wanted,
        seen: HashSet::default(),
        words: [0; WORDS],
    };
    let found = walk.from(diagrams.map(|diagram| diagram.root))?;
    Ok(found.map(|answers| Found {
        words: walk.words,
        answers,
    }))
}

struct Walk<'a, const N: usize, W> {
    diagrams: [&'a Diagram; N],
    wanted: W,
    seen: HashSet<[Id; N]>,
    words: [u32; WORDS],
}

impl<const N: usize, W: Fn([Answer; N]) -> bool> Walk<'_, N, W> {
    /// The answers below that are wanted; then the words hold the call. Goes no deeper than a call
    /// has bits.
    fn from(&mut self, ids: [Id; N]) -> Result<Option<[Answer; N]>, TooLarge> {
        if !self.seen.insert(ids) {
            return Ok(None);
        }
        if self.seen.len() > MOST {
            return Err(TooLarge);
        }
        let mut nodes = [Node::Answer(Answer::Truth(false)); N];
        for ((node, id), diagram) in nodes.iter_mut().zip(ids).zip(self.diagrams) {
            *node = *diagram.nodes.get(id as usize).expect("an id is a node's");
        }
        let Some(bit) = first_bit(&nodes) else {
            let answers = nodes.map(|node| {
                if let Node::Answer(answer) = node {
                    answer
                } else {
                    Answer::Truth(false)
                }
            });
            return Ok((self.wanted)(answers).then_some(answers));
        };
        for set in [false, true] {
            let mut below = ids;
            below
                .iter_mut()
                .zip(nodes)
                .for_each(|(id, node)| *id = node.below(*id, bit, set));
            if let Some(answers) = self.from(below)? {
                let (turn, place) = (usize::from(bit / 32), bit % 32);
                let word = if turn < 2 { 1 - turn } else { turn };
                *self.words.get_mut(word).expect("a bit is of a word") |= u32::from(set) << place;
                return Ok(Some(answers));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
