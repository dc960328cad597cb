//! The `execmem` command.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    execmem_cli::command()
}
