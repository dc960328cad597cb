//! The simulated machine, and the policies of Linux on it against what was measured in Linux.

mod machine;
mod measured;
mod sets;
