//! All of the program, whole by itself.

fn main() -> std::process::ExitCode {
    hallpass::main()
}
