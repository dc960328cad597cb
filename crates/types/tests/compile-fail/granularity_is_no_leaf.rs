// A granularity that is no leaf size of the machine.
include!("base.inc");

const TABLE: Table = plan(MACHINE, Descriptor { granularities: [Some(PageSize::kib(64)), None, None, None], ..CODE }).table();

fn main() {
    let _ = TABLE;
}
