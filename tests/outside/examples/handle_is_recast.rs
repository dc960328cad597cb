//! error[E0404]: handles have no trait whose methods take them apart and put them together.
use execmem::Handle;

fn recast<A: Handle, B: Handle>(a: A) -> B {
    B::from_grant(a.into_grant())
}

fn main() {}
