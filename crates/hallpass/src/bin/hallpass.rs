//! The command: a small program that knows the short way of `hallpass token`, and becomes `hallpass-main` for everything
//! else (docs/decisions/0008).

fn main() -> std::process::ExitCode {
    hallpass::front()
}
