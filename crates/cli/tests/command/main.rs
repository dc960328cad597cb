//! The command `execmem` as a user runs it.

mod browser;
mod compare;
mod inputs;
mod machines;
mod output;
mod page;
mod process;
mod samples;
mod schema;
mod support;
mod survey;

fn main() -> std::process::ExitCode {
    let tests = [
        compare::tests(),
        inputs::tests(),
        machines::tests(),
        output::tests(),
        page::tests(),
        process::tests(),
        samples::tests(),
        schema::tests(),
        survey::tests(),
    ];
    skip::run("command", env!("CARGO_TARGET_TMPDIR"), tests)
}
