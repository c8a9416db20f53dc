//! The person's side: signing in, tokens, runs that end with their command.

mod machine; // a machine with a person at it, and an issuer
mod administers; // an org administered from here
mod agents; // what acts for a person as itself
mod run; // what a command gets, and how it ends
mod behind; // an API behind the proxy
mod proxy; // the API gets the token, and the command never does
mod hours; // a command that runs for hours
mod masks; // the token is taken out of what a command writes
mod ways; // by which way a command gets its pass
mod signals; // what reaches a command, and how often
mod killed; // whatever is killed, the pass dies
mod down; // the issuer itself is killed
mod api; // APIs to ask
mod curl; // asking them
mod keys; // the key of a sign-in is in nobody's answer
mod mcp; // a remote MCP server, by an agent that never sees the token
mod session; // login, status, token, logout
mod which; // which sign-in is meant
mod directory; // which one a directory asks for, and profiles
mod network; // which authorities are trusted, and through which proxy it goes
mod daemon; // one process that holds them for the others
mod owed; // signing out where the issuer cannot be reached
mod assess; // what is asked of any login
mod containers; // builds in and user namespaces of containers
mod pass_socket; // where they get passes of their own
mod buildkit; // the docker daemon's builds
mod rootless; // containers of a user without rights, and places where little is there
mod nfs; // two hosts over one home
mod doctor; // what is looked at, what is found, and what is never shown
mod wrap; // a tool that insists on a file of its own
mod records; // those that cannot be read, and machines that can keep none
mod store; // a desktop's keyring, and what is said when it fails
mod kernel; // the kernel's keyring when it is full, forbidden or lost its key
mod tpm; // a key sealed by the machine itself
mod copies; // a home folder on another machine
mod shared; // others are the same user there
mod shown; // byte for byte
mod helpers; // programs that ask for a token: the real ones
mod terminal; // a person at a terminal: prompts, pictures, Ctrl-C
mod api_key; // a key, and nobody who is asked
mod report; // a credential that somebody found
mod workload; // a job that comes in by what it is
mod step_up; // a login that is too weak, or too old, for what is asked
mod pasted; // an address that a browser elsewhere ended at
mod tmux; // who looks at one
mod elsewhere; // other providers than ours
