//! Every target takes its corpus, and thousands of changes of it.

use std::fs;
use std::path::Path;

use crate::dice::Dice;
use crate::targets;

/// How many changes each target is given.
const CHANGES: u64 = 3_000;
/// How many bytes an input has at most after a change.
const LONGEST: usize = 64 * 1024;
/// What parsers look for.
const TOKENS: [&[u8]; 14] = [
    b"\0",
    b"\r\n",
    b"\n",
    b"\"",
    b",",
    b";",
    b"=",
    b"%",
    b"..",
    b"kf_live_",
    b"\x30\x82",
    b"\xff\xff",
    b"-----BEGIN ",
    b"PROXY ",
];

#[test]
fn every_target_takes_its_corpus_and_changes_of_it() {
    let mut dice = Dice::new();
    let made = targets::seeds();
    for (name, target) in targets::TARGETS {
        let mut seeds = corpus(name);
        assert!(!seeds.is_empty(), "fuzz/corpus/{name} is empty");
        seeds.extend(
            made.iter()
                .filter(|(of, _)| *of == name)
                .map(|(_, seed)| seed.clone()),
        );
        for seed in &seeds {
            target(seed);
        }
        for _ in 0..CHANGES {
            let mut input = dice.pick(&seeds).expect("one").clone();
            for _ in 0..=dice.below(4) {
                change(&mut input, &seeds, &mut dice);
            }
            target(&input);
        }
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("a readable file"))
        .collect()
}

/// Changes a byte, takes some away, puts some in, or begins as one seed and ends as another.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], dice: &mut Dice) {
    let mut place = |length: usize| {
        let end = u64::try_from(length)
            .expect("not that long")
            .saturating_add(1);
        usize::try_from(dice.below(end)).expect("within")
    };
    let (at, to) = (place(input.len()), place(input.len()));
    match dice.below(5) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => drop(input.drain(at.min(to)..at.max(to))),
        2 => {
            let token = dice.pick(&TOKENS).expect("one");
            drop(input.splice(at..at, token.iter().copied()));
        }
        3 => {
            let part = input
                .get(at.min(to)..at.max(to))
                .unwrap_or_default()
                .to_vec();
            drop(input.splice(at..at, part));
        }
        _ => {
            let other = dice.pick(seeds).expect("one");
            input.truncate(at);
            input.extend_from_slice(other.get(to.min(other.len())..).unwrap_or_default());
        }
    }
    input.truncate(LONGEST);
}
