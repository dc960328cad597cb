//! Tests, and the harness that runs them.

use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::need::Missing;
use crate::records::Records;

/// A test that may be skipped.
pub struct Test {
    name: String,
    body: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Test").field(&self.name).finish()
    }
}

impl Test {
    /// A test of a module, as `module_path!` names that. Its own name does not have the program's.
    pub fn new(module: &str, name: &str, body: impl FnOnce() + Send + 'static) -> Self {
        let inside = module.split_once("::").map(|(_, inside)| format!("{inside}::{name}"));
        Test { name: inside.unwrap_or_else(|| name.to_owned()), body: Box::new(body) }
    }
}

/// Lists the tests of a file as a function `tests`: `tests! { one two }`. With `tests! { for &MACHINES => one two; }`,
/// each test is a function of an element of what is static, and is run and named once for each element's field `name`.
#[macro_export]
macro_rules! tests {
    ($(for $all:expr => $($test:ident)*;)+) => {
        /// The tests of this file.
        pub(crate) fn tests() -> Vec<$crate::Test> {
            let mut tests = Vec::new();
            $(for each in $all {
                $(
                    let name = format!("{}::{}", stringify!($test), each.name);
                    tests.push($crate::Test::new(module_path!(), &name, move || $test(each)));
                )*
            })*
            tests
        }
    };
    ($($test:ident)*) => {
        /// The tests of this file.
        pub(crate) fn tests() -> Vec<$crate::Test> {
            vec![$($crate::Test::new(module_path!(), stringify!($test), $test)),*]
        }
    };
}

/// Runs the tests that the command line asks for: what a program of tests does. It is told its name, and cargo's folder
/// for the files of tests, `env!("CARGO_TARGET_TMPDIR")`, where it notes what was skipped.
pub fn run(program: &'static str, folder: &str, tests: impl IntoIterator<Item = Vec<Test>>) -> ExitCode {
    let arguments = Arguments::from_args();
    let records = Records::below(Path::new(folder));
    let is_whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    if is_whole && let Err(error) = records.forget(program) {
        panic!("{folder}: {error}");
    }
    let trial = |test: Test| {
        let records = records.clone();
        Trial::ignorable_test(test.name.clone(), move || perform(program, &records, test))
    };
    libtest_mimic::run(&arguments, tests.into_iter().flatten().map(trial).collect()).exit_code()
}

/// Runs a test in a thread of its name, so that a panic names it, and notes whether it was skipped.
fn perform(program: &str, records: &Records, test: Test) -> Result<Completion, Failed> {
    let outcome = thread::Builder::new().name(test.name.clone()).spawn(test.body)?.join();
    let missing = match outcome.map_err(|payload| payload.downcast::<Missing>()) {
        Ok(()) => None,
        Err(Ok(missing)) => Some(*missing),
        Err(Err(panic)) => resume_unwind(panic),
    };
    records.note(program, &test.name, missing.as_ref())?;
    Ok(missing.map_or(Completion::Completed, |missing| Completion::ignored_with(missing.reason)))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::need::{condition, unless};

    #[test]
    fn a_test_passes_is_skipped_or_fails_and_only_the_second_leaves_a_record() {
        let folder = std::env::temp_dir().join(format!("skip-{}", std::process::id()));
        let records = Records::below(&folder);
        let skips = || Test::new("program::a", "skips", || unless(condition(false, "no reason")));
        let outcome = perform("program", &records, skips());
        assert!(matches!(outcome, Ok(Completion::Ignored { reason: Some(reason) }) if reason == "no reason"));
        let listed = records.list().expect("a folder");
        assert_eq!(listed.iter().map(|skipped| &*skipped.test).collect::<Vec<_>>(), ["program a::skips"]);
        assert_eq!(listed[0].missing.reason, "no reason");
        let fails = Test::new("program", "fails", || panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(|| perform("program", &records, fails))).is_err());
        let passes = Test::new("program::a", "skips", || unless(condition(true, "")));
        assert!(matches!(perform("program", &records, passes), Ok(Completion::Completed)));
        assert_eq!(records.list().expect("a folder"), []);
        perform("program", &records, skips()).expect("skipped");
        records.forget("program").expect("a folder");
        assert_eq!(records.list().expect("a folder"), []);
        std::fs::remove_dir_all(&folder).expect("empty");
    }
}
