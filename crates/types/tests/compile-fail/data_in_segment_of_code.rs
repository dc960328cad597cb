// Data in a segment that is executable as a whole.
include!("base.inc");

const SEGMENTED: Machine = Machine { limits: Limits { executable_segment: Some(PageSize::mib(256)), ..Limits::NONE }, ..MACHINE };
const TABLE: Table = plan(SEGMENTED, CODE).table();

fn main() {
    let _ = TABLE;
}
