//! The fuzz targets on a stable compiler: the corpora as they are, and so many cases made from them by a seeded mutator.
//!
//! `SLUICE_FUZZ_CASES` and `SLUICE_SEED` set how many, and repeat a run. libFuzzer runs the same functions: fuzz/README.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step fails the test")]

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "it is a library of its own, for libFuzzer")]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Cases of each target.
const CASES: usize = 3_000;
/// The longest case, in bytes.
const LONGEST: usize = 4 * 1024;
/// What is put in besides bytes: the edges of numbers, and what parsers look for.
const WORDS: [&str; 32] = [
    "0",
    "-1",
    "1e400",
    "18446744073709551615",
    "9223372036854775808",
    "4294967296",
    "0.0000001",
    "NaN",
    "null",
    "[]",
    "{}",
    "\"",
    "\\u0000",
    "\\ud800",
    ":",
    ";",
    ",",
    "=",
    ";w=",
    ";q=",
    "reset",
    "remaining",
    "://",
    "@",
    "%00",
    "..",
    "*",
    ">",
    "\r\n",
    "\u{feff}",
    "ß",
    "60s",
];

/// The cases of a target that are kept.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A case made from another, in a few steps.
fn mutated(corpus: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut case = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        let at = random.random_range(0..=case.len());
        let end = (at + random.random_range(0..=16)).min(case.len());
        match random.random_range(0..7) {
            0 if at < case.len() => case[at] ^= 1 << random.random_range(0..8),
            1 if at < case.len() => case[at] = random.random(),
            2 => drop(case.drain(at..end)),
            3 => case.insert(at, random.random()),
            4 => {
                let part = case[at..end].to_vec();
                case.splice(at..at, part);
            }
            5 => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let from = random.random_range(0..=other.len());
                case.splice(at.., other[from..].iter().copied());
            }
            _ => drop(case.splice(at..end, WORDS[random.random_range(0..WORDS.len())].bytes())),
        }
        case.truncate(LONGEST);
    }
    case
}

fn run(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("SLUICE_SEED").unwrap_or_else(rand::random);
    let cases = number("SLUICE_FUZZ_CASES").map_or(CASES, |cases| cases.try_into().unwrap());
    let (corpus, mut random) = (corpus(name), StdRng::seed_from_u64(seed));
    let made = std::iter::repeat_with(|| mutated(&corpus, &mut random)).take(cases);
    for case in corpus.clone().into_iter().chain(made) {
        if catch_unwind(AssertUnwindSafe(|| target(&case))).is_err() {
            panic!("{name}, SLUICE_SEED={seed}: {:?}\nas bytes {case:?}", String::from_utf8_lossy(&case));
        }
    }
}

#[test]
fn jobs_as_json() {
    run("submission");
}

#[test]
fn what_is_kept_in_nats() {
    run("wire");
}

#[test]
fn headers_of_answers() {
    run("headers");
}

#[test]
fn ids_names_and_subjects() {
    run("names");
}

#[test]
fn urls() {
    run("url");
}

#[test]
fn traces() {
    run("trace");
}

#[test]
fn values_of_settings() {
    run("settings");
}

#[test]
fn every_target_is_one_for_libfuzzer_too() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut there: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut known: Vec<String> = targets::TARGETS.iter().map(|(name, _)| format!("{name}.rs")).collect();
    there.sort();
    known.sort();
    assert_eq!(there, known);
}
