//! Every table: placement against an oracle, the defects it must not have, branches and veneers as a processor sees them.

mod blocks;
mod defects;
mod instructions;
mod interpret;
mod matrix;
mod oracle;
mod veneers;
