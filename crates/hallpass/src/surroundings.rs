//! Where the person sits, as far as the environment tells. What it says of that is read by the holder; this program only
//! says which variables may be looked at (`env`).

use std::ffi::OsString;
use std::fs::File;
use std::io::IsTerminal;
use std::path::PathBuf;

use hallpass_holder::environment::{self, Environment};
use hallpass_holder::{Ambient, HolderError, Opener, Places, Surroundings};

pub(crate) use environment::machine_name;
use hallpass_model::device::DeviceClass;

use crate::env;

pub(crate) mod host; // whether it is one person's alone

/// The terminal we were started from, wherever our input and output go.
pub(crate) const TERMINAL: &str = "/dev/tty";

/// What is known about where the person sits.
pub(crate) fn surroundings() -> Surroundings {
    environment().surroundings()
}

/// The same, of who is attached where this is a pane of tmux: it takes some milliseconds to ask.
pub(crate) fn surroundings_of_who_looks() -> Surroundings {
    environment().asking_tmux().surroundings()
}

/// What opens addresses here.
pub(crate) fn opener() -> Opener {
    environment().opener()
}

/// Where this machine keeps keys, besides the kernel.
pub(crate) fn places() -> Places {
    let mut places = environment().places();
    places.tpm = named_tpm().or(places.tpm);
    places
}

/// The TPM that the person names. Absolute: the daemon looks for it from another folder.
pub(crate) fn named_tpm() -> Option<PathBuf> {
    let named = env::HALLPASS_TPM.path()?;
    Some(std::path::absolute(&named).unwrap_or(named))
}

/// What says what runs here, where that is a workload.
pub(crate) fn ambient() -> Result<Option<Ambient>, HolderError> {
    environment().ambient()
}

/// What says what this machine is, where that is one of a cloud.
pub(crate) fn machine() -> Option<Ambient> {
    environment().machine()
}

/// Whether somebody sits at a terminal who sees a question and types the answer.
pub(crate) fn somebody_answers() -> bool {
    !environment().is_ci() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether there is a terminal to ask at.
pub(crate) fn a_terminal_is_there() -> bool {
    File::options().read(true).write(true).open(TERMINAL).is_ok()
}

/// What sort of machine this is, for the approval page.
pub(crate) fn device_class(at: &Surroundings, shared: Option<&host::Shared>) -> DeviceClass {
    shared.map_or_else(|| environment::device_class(at), |shared| shared.class)
}

fn environment() -> Environment<'static> {
    Environment::new(&declared).with_browser_variable(env::HALLPASS_BROWSER.name)
}

/// A variable that this program says it reads.
fn declared(name: &str) -> Option<OsString> {
    env::ALL.iter().find(|variable| variable.name == name)?.value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_that_the_holder_looks_at_is_one_that_is_declared() {
        let undeclared = std::cell::RefCell::new(Vec::new());
        let find = |name: &str| {
            let known = env::ALL.iter().any(|variable| variable.name == name);
            undeclared.borrow_mut().extend((!known).then(|| name.to_owned()));
            None
        };
        let environment =
            Environment::new(&find).with_browser_variable(env::HALLPASS_BROWSER.name).asking_tmux();
        environment.surroundings();
        environment.opener();
        environment.places();
        assert!(environment.ambient().unwrap().is_none());
        environment.machine();
        environment.state_folder("hallpass");
        assert_eq!(undeclared.take(), Vec::<String>::new());
    }
}
