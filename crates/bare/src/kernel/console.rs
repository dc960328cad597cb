//! Lines on the serial port.

use core::fmt::{self, Write};

use super::arch;

/// The serial port.
#[derive(Debug)]
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(arch::put);
        Ok(())
    }
}

/// Prints a line.
macro_rules! say {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::kernel::console::Console, $($argument)*);
    }};
}

pub(crate) use say;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("{info}");
    arch::exit(false)
}
