//! What must be true of the whole, whatever happens.

mod client; // a client of the test's own, which sees what it is given
pub(crate) mod server; // `hallpass serve` on a folder of its own
pub(crate) mod scanner; // finds a secret however it is written
mod tap; // reads along between holder and issuer
mod processes; // what every process of a run shows to others

mod browser; // a person at the pages, and a login that comes back to the terminal
pub(crate) mod record; // what a record of the holder holds, opened by its written form
pub(crate) mod canary; // no secret is seen anywhere but where it belongs
mod dumps; // memory that holds secrets is not written to disk
mod kills; // kill -9 of the issuer loses no session
