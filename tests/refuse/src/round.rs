//! Rounds: a script of operations, run as often as it asks for heap, each time with another request refused.

use anyhow::{Result, bail, ensure};

use crate::heap::{self, Refuse};
use crate::scene::{Failure, Heap, Scene};
use crate::sites;

/// Runs the script once for each request that is refused alone, and once for each from which on all are. Returns how many
/// requests there are.
pub(crate) fn refuse_each<S: Scene>(set: impl Fn() -> S, script: &[S::Op]) -> Result<u64> {
    // What is made for the life of the process is made now.
    say("plan", &Refuse::Nothing);
    round(&set, script, Refuse::Nothing)?;
    let settled = heap::live();
    let mut requests = 0;
    for plan in [Refuse::Once as fn(u64) -> Refuse, Refuse::From] {
        for nth in 0.. {
            say("plan", &plan(nth));
            let refused = round(&set, script, plan(nth))?;
            ensure!(heap::live() == settled, "{:?}: {} bytes leaked", plan(nth), heap::live() - settled);
            if refused == 0 {
                requests = nth;
                break;
            }
        }
    }
    ensure!(requests > 0, "the script never asks for heap");
    Ok(requests)
}

/// Runs the script once. Returns how many requests were refused.
fn round<S: Scene>(set: &impl Fn() -> S, script: &[S::Op], plan: Refuse) -> Result<u64> {
    let mut scene = set();
    heap::plan(plan);
    for op in script {
        step(&mut scene, *op)?;
    }
    let refused = heap::refused();
    heap::plan(Refuse::Nothing);
    scene.check().and_then(|()| scene.end()).map_err(|why| anyhow::anyhow!("{plan:?}, at the end: {why}"))?;
    Ok(refused)
}

/// Tells the process that reads the output what is tried now. What the output keeps is no leak.
fn say(what: &str, plan: &Refuse) {
    heap::uncounted(|| println!("{what} {plan:?}"));
}

fn step<S: Scene>(scene: &mut S, op: S::Op) -> Result<()> {
    let (before, seen, refused) = (scene.picture(), heap::seen(), heap::refused());
    let outcome = heap::armed(|| scene.run(op));
    let (asked, denied) = (heap::seen() - seen, heap::refused() - refused);
    let need = S::heap(op);
    ensure!(need != Heap::Untouched || asked == 0, "{op:?} asked for heap {asked} times");
    if denied > 0 && refused == 0 {
        let ended = if outcome.is_ok() { "went-on" } else { "refused" };
        heap::uncounted(|| println!("site {ended} {}", sites::last().join(" ")));
    }
    let failure = match outcome {
        Ok(()) => return Ok(()),
        Err(Failure::Missing) if heap::refused() > 0 => return Ok(()),
        Err(failure) => failure,
    };
    if denied == 0 || !failure.is_out_of_memory() || need != Heap::Needed {
        bail!("{op:?} failed after {denied} refusals: {failure:?}");
    }
    let after = scene.picture();
    ensure!(after == before, "{op:?} failed and left\n{after:?}\ninstead of\n{before:?}");
    scene.check().map_err(|why| anyhow::anyhow!("{op:?} failed, and then: {why}"))
}

/// Makes engines in worlds that differ from round to round, so that what is left of them can only be compared at the end.
pub(crate) fn refuse_making<S: Scene<Op = crate::scripts::Op>>(set: impl Fn() -> S) -> Result<u64> {
    let script = [crate::scripts::Op::Make, crate::scripts::Op::Stats];
    let mut requests = 0;
    for plan in [Refuse::Once as fn(u64) -> Refuse, Refuse::From] {
        for nth in 0.. {
            say("plan", &plan(nth));
            if round(&set, &script, plan(nth))? == 0 {
                requests = nth;
                break;
            }
        }
    }
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation that does one thing wrong where there is no heap, or none.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Op {
        Right,
        Unneeded,
        Leaks,
        Changes,
        AsksWhereItMustNot,
        FailsOtherwise,
        FailsForNothing,
    }

    struct Fake {
        state: u32,
    }

    impl Scene for Fake {
        type Op = Op;
        type Picture = u32;

        fn run(&mut self, op: Op) -> Result<(), Failure> {
            self.state += u32::from(op == Op::Changes);
            let mut list = Vec::<u64>::new();
            let outcome = list.try_reserve(10).map_err(|_| Failure::Engine(execmem::Error::OutOfMemory));
            match (op, outcome) {
                (Op::FailsForNothing, Ok(())) => Err(Failure::Missing),
                (Op::FailsOtherwise, Err(_)) => Err(Failure::Engine(execmem::Error::NotFound { address: 0 })),
                (Op::Unneeded | Op::AsksWhereItMustNot, _) => Ok(()),
                (Op::Leaks, Err(failure)) => {
                    heap::exempt(|| std::mem::forget(std::hint::black_box(Box::new(7_u64))));
                    Err(failure)
                }
                (_, outcome) => outcome,
            }
        }

        fn heap(op: Op) -> Heap {
            match op {
                Op::AsksWhereItMustNot => Heap::Untouched,
                Op::Unneeded => Heap::Welcome,
                _ => Heap::Needed,
            }
        }

        fn picture(&self) -> u32 {
            self.state
        }

        fn check(&self) -> Result<(), String> {
            Ok(())
        }

        fn end(self) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_what_is_right_is_counted() {
        let run = |op| refuse_each(|| Fake { state: 0 }, &[Op::Right, op]).map_err(|error| error.to_string());
        assert_eq!((run(Op::Right), run(Op::Unneeded)), (Ok(2), Ok(2)));
        let wrong = [
            (Op::Leaks, "Once(1): 8 bytes leaked"),
            (Op::Changes, "Changes failed and left\n1\ninstead of\n0"),
            (Op::AsksWhereItMustNot, "AsksWhereItMustNot asked for heap 1 times"),
            (Op::FailsOtherwise, "FailsOtherwise failed after 1 refusals"),
            (Op::FailsForNothing, "FailsForNothing failed after 0 refusals"),
        ];
        for (op, why) in wrong {
            let found = run(op).expect_err("it is wrong");
            assert!(found.starts_with(why), "{found}");
        }
    }
}
