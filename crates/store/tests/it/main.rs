//! What the store promises, asked of a real one on a real folder.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it stands")]

mod world; // a store with an org in it, and short ways to do what tests do

mod open; // the folder: whose it is, who holds it, with which keys
mod batch; // one change that fails, panics or finds no room, among others
mod directory; // orgs, people, teams, clients, resources
mod enrol; // links, passkeys, logins to the pages
mod login; // codes
mod device; // the device flow
mod refresh; // every row of the rotation's table
mod cuts; // every axis, every path, every clock
mod owners; // what becomes of things whose owner leaves
mod lists; // lists of sessions
mod forget; // what is forgotten, and what stays dead whatever the clock does
mod exchange; // narrower tokens, leases, clients' own tokens
mod used; // assertions, each good once
mod asking; // what the writer remembers of clients
mod ledger; // rows and record agree; proofs; erasing
mod tidy; // sweeping, and refusals once a minute
mod agents; // runs of agents, however they are chained and whatever is cut
mod api_keys;
mod backup; // copies, and putting them back
mod vouched; // what was changed while no server ran
mod plans; // every statement's query plan
mod holders; // holders that crash and race
mod crash; // what survives on a disk that forgets what was not synced, or is full
