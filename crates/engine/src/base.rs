//! What stands alone: errors, owners, counters, requests, handles. No locks, and nothing that commands memory.

pub(crate) mod boxed;
pub(crate) mod counters;
pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod request;
pub(crate) mod reservation;
pub(crate) mod seat;
