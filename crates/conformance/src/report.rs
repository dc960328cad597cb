//! What came of the checks.

use core::fmt;

use crate::checks::{CHECKS, Check};
use crate::{Law, Need};

/// An operation of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `check_caller`.
    CheckCaller,
    /// `map`.
    Map,
    /// `unmap`.
    Unmap,
    /// `protect`.
    Protect,
    /// `write` with `Access::Store`.
    Store,
    /// `write` with `Access::Poke`.
    Poke,
    /// `fill` with `Access::Store`.
    FillByStore,
    /// `fill` with `Access::Poke`.
    FillByPoke,
    /// `read`.
    Read,
    /// `sync_code`.
    SyncCode,
    /// `collapse`.
    Collapse,
    /// `adopt`.
    Adopt,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::CheckCaller => "check_caller",
            Call::Map => "map",
            Call::Unmap => "unmap",
            Call::Protect => "protect",
            Call::Store => "write(Store)",
            Call::Poke => "write(Poke)",
            Call::FillByStore => "fill(Store)",
            Call::FillByPoke => "fill(Poke)",
            Call::Read => "read",
            Call::SyncCode => "sync_code",
            Call::Collapse => "collapse",
            Call::Adopt => "adopt",
        })
    }
}

/// A law that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breach {
    /// The call that broke it.
    pub call: Call,
    /// Where.
    pub address: u64,
    /// What was seen there.
    pub seen: &'static str,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}: {}", self.call, self.address, self.seen)
    }
}

/// What came of a check, or of all checks of a law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The law held.
    Held,
    /// The law was broken. Later breaches may be consequences of the first.
    Broken(Breach),
    /// It cannot be checked here.
    NotCheckable(Need),
}

/// What came of all checks. Its `Display` is a line for each law, breach and lack.
#[derive(Debug, Clone)]
pub struct Report {
    outcomes: [Outcome; CHECKS.len()],
    declared: u16,
}

impl Report {
    pub(crate) fn new(declared: &[Need], mut run: impl FnMut(&Check) -> Outcome) -> Self {
        let mut outcomes = [Outcome::Held; CHECKS.len()];
        for (outcome, check) in outcomes.iter_mut().zip(&CHECKS) {
            *outcome = run(check);
        }
        Report { outcomes, declared: declared.iter().fold(0, |set, need| set | bit(*need)) }
    }

    /// Whether nothing is broken, and nothing else was not checkable than the port declared.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.broken().next().is_none() && self.undeclared().next().is_none() && self.disproved().next().is_none()
    }

    /// Names of the checks, their laws, and what came of them.
    pub fn checks(&self) -> impl Iterator<Item = (&'static str, Law, Outcome)> + '_ {
        CHECKS.iter().zip(self.outcomes).map(|(check, outcome)| (check.name, check.law, outcome))
    }

    /// The checks that found something broken.
    pub fn broken(&self) -> impl Iterator<Item = (&'static str, Law, Breach)> + '_ {
        self.checks().filter_map(|(name, law, outcome)| match outcome {
            Outcome::Broken(breach) => Some((name, law, breach)),
            Outcome::Held | Outcome::NotCheckable(_) => None,
        })
    }

    /// What came of a law: broken if one of its checks found that, held if none did and one could be done.
    #[must_use]
    pub fn law(&self, law: Law) -> Outcome {
        let of_law = || self.checks().filter(|(_, of, _)| *of == law).map(|(.., outcome)| outcome);
        let broken = of_law().find(|outcome| matches!(outcome, Outcome::Broken(_)));
        broken
            .or_else(|| of_law().find(|outcome| *outcome == Outcome::Held))
            .or_else(|| of_law().next())
            .unwrap_or(Outcome::Held)
    }

    /// What was missing for some check.
    pub fn lacks(&self) -> impl Iterator<Item = Need> + '_ {
        Need::ALL.into_iter().filter(|need| self.outcomes.contains(&Outcome::NotCheckable(*need)))
    }

    /// What was missing and not declared.
    pub fn undeclared(&self) -> impl Iterator<Item = Need> + '_ {
        self.lacks().filter(|need| self.declared & bit(*need) == 0)
    }

    /// What was declared and not missing.
    pub fn disproved(&self) -> impl Iterator<Item = Need> + '_ {
        let declared = Need::ALL.into_iter().filter(|need| self.declared & bit(*need) != 0);
        declared.filter(|need| !self.outcomes.contains(&Outcome::NotCheckable(*need)))
    }
}

const fn bit(need: Need) -> u16 {
    1 << need as u16
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for law in Law::ALL {
            let checks = || self.checks().filter(|(_, of, _)| *of == law);
            let done = checks().filter(|(.., outcome)| !matches!(outcome, Outcome::NotCheckable(_))).count();
            match self.law(law) {
                Outcome::Held => writeln!(f, "{law}: held, {done} checks")?,
                Outcome::NotCheckable(need) => writeln!(f, "{law}: not checkable here: {need}")?,
                Outcome::Broken(_) => writeln!(f, "{law}: BROKEN")?,
            }
            for (name, _, breach) in self.broken().filter(|(_, of, _)| *of == law) {
                writeln!(f, "  {breach} ({name})")?;
            }
        }
        for need in self.lacks() {
            let unchecked = self.outcomes.iter().filter(|outcome| **outcome == Outcome::NotCheckable(need)).count();
            let known = if self.undeclared().any(|other| other == need) { ", NOT DECLARED" } else { "" };
            writeln!(f, "{unchecked} checks not made: {need}{known}")?;
        }
        for need in self.disproved() {
            writeln!(f, "declared and not so: {need}")?;
        }
        f.write_str(if self.passes() { "conformance: passes" } else { "conformance: FAILS" })
    }
}
