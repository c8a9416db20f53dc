use std::path::PathBuf;

use tokio::process::Command;

use super::gate::Gate;

/// A file of `tests/interop`; `None` where `make test` has not put it there.
pub(in crate::holder) fn interop(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop").join(name);
    let path = std::path::absolute(path).unwrap();
    path.exists().then_some(path)
}

/// One of the Python programs, in the environment with its packages.
pub(super) fn python(gate: &Gate, arguments: &[&str]) -> Option<Command> {
    let python = interop(".venv/bin/python")?;
    let mut command = gate.program(python, arguments);
    command.current_dir(interop("").unwrap()).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}
