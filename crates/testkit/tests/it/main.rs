//! The promises that need the whole world: programs, a browser, other implementations.

mod browser;
mod interop;
