// A granularity that is no leaf size of the machine.
include!("base.inc");

const TABLE: Table = Table::new(MACHINE, rows(Descriptor { granularities: [Some(PageSize::kib(64)), None, None, None], ..CODE }));

fn main() {
    let _ = TABLE;
}
