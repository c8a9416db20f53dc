//! What must survive a restart, and the ledger: a change and its record land together or not at all.
//!
//! `store.change(actor, now, operation).await` runs one whole operation on the one writer thread; many commit at
//! once, and none is answered before it is durable. Reads are methods of [`Store`]. Nobody outside sees SQL.
//!
//! In reading order:

mod error; // what can go wrong with the store itself
mod open; // Store: opening it, changing it, hearing what happened
mod change; // one whole operation, and the transaction it runs in

// How it works.
mod folder; // the data folder: ours alone, held by one server at a time
mod seal; // the key-encryption key, and what is derived from it
mod migrate; // the schema, step by step
mod meta; // what the store knows of itself
mod writer; // the thread that runs changes, many to a commit
mod copier; // the log, copied into the database beside it
mod readers; // connections that only read
mod news; // hints for those who wait in this process
mod sql; // how rows are asked for and read
mod page; // lists, a page at a time

// What is kept.
mod ledger; // the record, its tree, its checkpoints
mod entries; // finding entries of it
mod proofs; // proofs out of its tree
mod vouch; // whether it may be signed on
mod outside; // the newest checkpoint, kept outside the database
mod cuts; // revocation, and whether something is dead
mod notices; // what owners are told of it
mod refusals; // refusals, recorded once a minute
mod orgs; // tenants
mod directory; // what every registered thing has in common
mod owners; // who answers for what
mod leaving; // what becomes of it when they leave
mod people; // persons
mod teams; // people who answer together
mod by_role; // what people change by a role that they have
mod clients; // software that asks for credentials
mod terms; // what an org lets those have that came by themselves
mod documents; // those that say what they are at an address of their own
mod registration_policy; // what an org says of those that register themselves
mod registrations; // those that do
mod client_keys; // what they sign assertions with
mod client_secrets; // what those without a key prove themselves by
mod resources; // APIs that accept them
mod keys; // what orgs sign with
mod links; // one-time links
mod passkeys; // passkeys and their ceremonies
mod web; // logins to the issuer's own pages
mod enrol; // the first administrator, everybody after, and logging in
mod providers; // the same by an organisation's own provider
mod authorize; // requests that wait for a login, and the codes they end in
mod device; // the device flow
mod poll; // its polls, and collecting what was approved
mod guess; // guesses at user codes, counted
mod reach; // what of a grant a token is wanted for
mod step_up; // what is demanded of how a person proved who they are
mod sessions; // logins on devices: how they are opened, and read
mod raise; // one made as strong as its person has just proved anew
mod session_list; // a person's, listed
mod copies; // of a machine's sign-ins, found on another
mod redeem; // refresh: the hot path
mod revoke; // tokens given back
mod leaks; // credentials found where they should not be
mod exchange; // narrower tokens from wider ones
mod agents; // software that acts for a person
mod runs; // its runs, and what they may use
mod run_ends; // how they end
mod leases; // passes handed to one run
mod lineage; // what came of a session, or hangs on a client, to be drawn
mod client_tokens; // tokens for clients themselves
mod asking; // what decides about them, remembered by the writer
mod used; // the assertions they prove themselves by, each good once
mod trusts; // rules by which outside identities become clients
mod federate; // tokens for whoever comes in by one
mod api_keys; // secrets that live for weeks and buy tokens: made, and read
mod key_ends; // their rotation, and their end
mod buy; // tokens that they buy, and their being sent to an API
mod key_users; // who uses them, counted in memory and written now and then
mod sweep; // what is over is tidied away
mod backup; // copies for safe keeping
mod restore; // putting them back
mod returned; // what a restore brings back to life
mod copy; // checking the ledger in a copy

pub use agents::{AgentRegistered, RegisterAgent, RetireAgent};
pub use api_keys::{AddApiKey, KeyMade, KeyNotAdded};
pub use authorize::{
    CodeIssued, CodeRedeemed, CodeRefusal, IssueCode, PushRequest, RedeemCode, SaveRequest, SavedRequest,
    TakePushed, TakeRequest,
};
pub use backup::{BackedUp, BackupError};
pub use buy::{Bought, BoughtToken, BuyToken, DirectUse, Presenter};
pub use by_role::{ByRole, CameBy, NotByRole};
pub use change::{Change, Tx};
pub use client_keys::{AddClientKeys, KeysNotChanged, RemoveClientKey};
pub use client_secrets::{
    ClientSecretMade, NoteSecretUse, RemoveClientSecret, RotateClientSecret, SecretNotMade, SecretUse,
};
pub use client_tokens::{Assertion, ClientIssued, ClientProof, ClientToken, IssueForClient, SpendAssertion};
pub use clients::{AddClient, NotFapi, SetClientEnvironment, SetClientFapi, SetClientStanding};
pub use copies::{CopiedDevice, CopyNoted, NoteCopy};
pub use copy::{Beside, CopyError, LedgerCopy, Verified};
pub use cuts::{CutMade, EndSession, MakeCut, SessionEnded};
pub use device::{
    Answer, AnswerDevice, Approver, DeviceAnswered, DeviceGrant, DeviceStarted, DeviceState,
    EndAfterApproval, EndedAfterApproval, StartDevice,
};
pub use directory::{NotAdded, StandingSet};
pub use documents::{
    AdmitClient, AllowDocuments, AllowedHost, DOCUMENT_CLIENTS_MAX, ForbidDocuments, NotAdmitted,
};
pub use enrol::{FinishEnrolment, FinishLogin, LoginRefusal, SetUp, SetUpDone};
pub use entries::{Filter, LedgerEntry, LookedBack};
pub use error::{OpenError, StoreError};
pub use exchange::{Exchange, ExchangeRefusal, Exchanged, Narrowed, Subject};
pub use federate::{Federated, FederatedRefusal, FederatedToken, IssueByTrust, Once, Outsider};
pub use folder::{DATABASE, is_new};
pub use guess::{GUESSES_BY_ADDRESS, GUESSES_BY_PERSON, GuessUserCode, Guessed};
pub use key_ends::{
    KeyNotRotated, KeyRevoked, KeyRotated, MigrateApiKey, NotMigrating, RevokeApiKey, RevokeByKey,
    RotateApiKey,
};
pub use key_users::{KeyUser, NewOnes};
pub use keys::{
    AdvanceSigningKeys, RotateSigningKey, SigningKeyRotated, SigningKeyRow, StoredSigningKey, WhyRotated,
};
pub use leaks::{Leaked, RecordLeak};
pub use leases::{AwaitAllRuns, EndLease, Lease, LeaseConnected, LeaseDropped, LeaseState};
pub use leaving::{LeftBehind, OwnerSet};
pub use lineage::{ClientLineage, SessionLineage};
pub use links::{Link, LinkMade, LinkPurpose, MakeLink};
pub use notices::{Notice, ReadNotices};
pub use open::{Engine, Store, StoreKeys, StorePlace};
pub use orgs::{
    AddOrg, OrgAdded, RecoverAdministrator, SetOrgLimits, SetOrgRequirements, SetOrgStanding, Taken,
};
pub use owners::{NotTransferred, Owned, OwnedId, TakenOver, Takeover, TransferOwned, Which};
pub use page::Page;
pub use passkeys::{
    AddPasskey, BeginCeremony, Ceremony, CeremonyKind, NewPasskey, Passkey, PasskeyRefusal, PasskeyRemoved,
    RemovePasskey, RemovedBy, TakeCeremony,
};
pub use people::{AddPerson, SetPersonStanding};
pub use poll::{PollDevice, Polled};
pub use providers::{
    FinishProviderLogin, LoginProvider, NewProvider, Newcomer, SUBJECT_LEN_MAX, SetLoginProvider,
};
pub use reach::{OutOfGrant, Reach, Reached, Wanted};
pub use redeem::{Redeem, Redeemed};
pub use refusals::{RecordRefusal, RefusedSubject};
pub use registration_policy::{
    AllowRegistration, ForbidRegistration, InitialToken, InitialTokenMade, MakeInitialToken,
    REGISTERED_CLIENTS_MAX, REGISTRATION_USES_MAX, RegistrationPolicy,
};
pub use registrations::{
    ChangeRegistration, EndRegistration, NotRegistered, RegisterClient, RegisteredClient, RenewRegistration,
    SelfRegistered,
};
pub use resources::{AddResource, SetResourceStanding};
pub use restore::{Restore, RestoreError, Restored, restore};
pub use returned::{PasskeyReturned, PersonReturned, Returned};
pub use revoke::{RevokeAccessToken, RevokeDeviceCode, RevokeRefreshToken};
pub use run_ends::{EndRuns, EndedRuns, WhichRuns};
pub use runs::{ActingFor, ExtendRun, Run, RunRefusal};
pub use seal::KeyEncryptionKey;
pub use session_list::{SessionSummary, Sessions, StolenSession};
pub use sessions::{Opened, RefreshTokens};
pub use step_up::{ScopeDemandSet, ScopeDemands, SetClientDemand, SetScopeDemand};
pub use sweep::{Sweep, Swept};
pub use teams::{
    AddTeam, ChangeTeamMembers, MembersSet, Roles, SetTeamMembers, SetTeamRole, SetTeamStanding, TeamRoleSet,
};
pub use trusts::{AddTrust, SetTrustStanding, TrustNotAdded};
pub use vouch::{Doubt, Signed};
pub use web::{EndOthers, EndWeb, InBrowser, LoginOver, TouchWeb, WebLogin, WebOpened, WebSession};
