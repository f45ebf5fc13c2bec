//! The targets of fuzzing, without a fuzzer: each is given its corpus (`fuzz/corpus`), what is made at run time, and
//! changes of both that chance gives. `make fuzz` gives them to a fuzzer.

#[cfg(test)]
#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public to the fuzzer's programs")]
mod targets;

#[cfg(test)]
#[path = "../support/dice.rs"]
#[expect(
    dead_code,
    clippy::arithmetic_side_effects,
    reason = "a tool of the tests, of which others use the rest"
)]
mod dice;

#[cfg(test)]
mod smoke;
