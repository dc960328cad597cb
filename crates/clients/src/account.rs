//! Which client holds how much: every client charges what it is granted to an account, which may have a limit.

use crate::Error;

/// Whether a request counts against the limit of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// It is refused if it would exceed the limit.
    Limited,
    /// It is charged and never refused: the caller has the right to everything.
    Unlimited,
}

/// What a client holds and has held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Allocations so far.
    pub allocations: u64,
    /// Allocations that are held now.
    pub live: u64,
    /// Bytes that are held now, as granted by the engine.
    pub bytes: u64,
    /// The most bytes that were held at once.
    pub peak_bytes: u64,
    /// Requests that were refused because of the limit.
    pub refused: u64,
}

/// The account of one client.
#[derive(Debug)]
pub(crate) struct Account {
    limit: u64,
    usage: Usage,
}

impl Account {
    /// An account of at most `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Account { limit, usage: Usage::default() }
    }

    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Charges bytes that are about to be allocated.
    pub(crate) fn charge(&mut self, bytes: u64, credit: Credit) -> Result<(), Error> {
        let usage = &mut self.usage;
        let sum = usage.bytes.checked_add(bytes);
        let Some(sum) = sum.filter(|sum| *sum <= self.limit || credit == Credit::Unlimited) else {
            usage.refused += 1;
            return Err(Error::OverLimit { wanted: bytes, held: usage.bytes, limit: self.limit });
        };
        usage.bytes = sum;
        usage.peak_bytes = usage.peak_bytes.max(sum);
        usage.live += 1;
        usage.allocations += 1;
        Ok(())
    }

    /// Takes back a charge whose allocation failed.
    pub(crate) fn cancel(&mut self, bytes: u64) {
        self.uncharge(bytes);
        self.usage.allocations -= 1;
    }

    /// Takes back the charge of memory that was freed.
    pub(crate) fn uncharge(&mut self, bytes: u64) {
        self.usage.bytes -= bytes;
        self.usage.live -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_refuses_what_exceeds_it_and_nothing_else() {
        let mut account = Account::new(100);
        account.charge(60, Credit::Limited).expect("within");
        let refused = account.charge(41, Credit::Limited);
        assert_eq!(refused, Err(Error::OverLimit { wanted: 41, held: 60, limit: 100 }));
        account.charge(40, Credit::Limited).expect("exactly");
        account.charge(1, Credit::Unlimited).expect("unlimited");
        account.uncharge(60);
        account.charge(19, Credit::Limited).expect("within again");
        account.cancel(19);
        let usage = Usage { allocations: 3, live: 2, bytes: 41, peak_bytes: 101, refused: 1 };
        assert_eq!(account.usage(), usage);
    }
}
