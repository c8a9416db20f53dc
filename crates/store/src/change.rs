//! One whole operation on the store, and the transaction it runs in.

use hallpass_model::cut::{Stamp, StampClock, Target};
use hallpass_model::id::GrantId;
use hallpass_model::ledger::{Actor, Entry, Event, Field, Frontier, Personal};
use hallpass_model::random::Entropy;
use hallpass_model::secret::{Fingerprint, Kind, Secret};
use hallpass_model::spelling::{self, Prefix, RANDOM_BYTES};
use hallpass_model::time::Timestamp;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::asking::Askers;
use crate::copier::Copier;
use crate::error::StoreError;
use crate::ledger;
use crate::meta::Meta;
use crate::outside::Scribe;
use crate::seal::Keys;
use crate::sql::Sql;
use crate::used::Used;

/// One domain operation that runs whole inside the store: read the rows, ask the model's rule, write the rows and
/// the ledger entry. It either happens entirely or not at all.
///
/// A refusal that callers must tell apart is an outcome. `Err` means that the store itself failed.
pub trait Change: Send + 'static {
    /// What it comes to.
    type Outcome: Send + 'static;

    /// Runs on the store's one writer thread, in a savepoint of its own.
    fn apply(self, tx: &mut Tx<'_>) -> Result<Self::Outcome, StoreError>;
}

/// A transaction that knows who is acting and when. Nothing outside this crate can use it for anything.
pub struct Tx<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) actor: Actor,
    pub(crate) now: Timestamp,
}

/// What the writer thread owns.
pub(crate) struct Core {
    pub(crate) db: Connection,
    pub(crate) keys: std::sync::Arc<Keys>,
    pub(crate) entropy: std::sync::Arc<dyn Entropy>,
    pub(crate) clock: StampClock,
    /// Sessions opened at or before it may be ahead of their row: the store was restored, and told to keep them.
    pub(crate) adopt_upto: Stamp,
    pub(crate) frontier: Frontier,
    /// Assertions that were used.
    pub(crate) used: Used,
    /// What decides about clients that ask for themselves.
    pub(crate) asking: Askers,
    /// The size of the last checkpoint, once it is known.
    pub(crate) signed: Option<u64>,
    /// The last checkpoint, if it was signed in the running transaction.
    pub(crate) note: Option<String>,
    /// Keeps the newest outside the database, where that is wanted.
    pub(crate) scribe: Option<Scribe>,
    /// Copies the log into the database, so that the writer need not.
    pub(crate) copier: Option<Copier>,
    /// A commit failed, and what memory holds was not made to agree with the disk again.
    pub(crate) stale: bool,
    /// Recorded by the running change and not yet written.
    pub(crate) entries: Vec<(Entry, Option<Personal>)>,
    /// What to tell others once the commit is durable.
    pub(crate) news: Vec<News>,
}

/// Something others in this process wait for. A hint: what is so stands in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// A device grant was answered.
    Answered(GrantId),
    /// A cut was made.
    Cut(Target),
    /// Something in the directory changed: what is remembered of it is stale.
    Directory,
}

impl Tx<'_> {
    pub(crate) fn db(&self) -> &Connection {
        &self.core.db
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.core.entropy
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.core.keys
    }

    /// Says who acts, where that shows only from an authentic credential: the caller said that nobody had proved it.
    pub(crate) fn acts(&mut self, actor: Actor) {
        if self.actor == Actor::Nobody {
            self.actor = actor;
        }
    }

    /// The stamp of what is issued in this change.
    pub(crate) fn issue_stamp(&mut self) -> Stamp {
        self.core.clock.issue(self.now)
    }

    /// The stamp of a cut: everything issued so far is at or before it.
    pub(crate) fn cut_stamp(&mut self) -> Stamp {
        self.core.clock.cut(self.now)
    }

    /// A new random secret of this kind, and what may be kept of it.
    pub(crate) fn new_secret<K: Kind>(&self, prefix: Prefix) -> (Secret<K>, Fingerprint) {
        let mut bytes = Zeroizing::new([0u8; RANDOM_BYTES]);
        self.entropy().fill(&mut bytes[..]);
        let secret = Secret::new(spelling::render(prefix, &bytes[..]).as_bytes().to_vec());
        let fingerprint = self.keys().fingerprint(&secret);
        (secret, fingerprint)
    }

    /// An entry of this kind, by whoever acts, now.
    pub(crate) fn entry(&self, event: Event) -> Entry {
        Entry::new(event, self.now, self.actor)
    }

    /// Puts an entry into the ledger, together with this change or not at all.
    pub(crate) fn record(&mut self, entry: Entry) {
        self.core.entries.push((entry, None));
    }

    /// The number that the entry recorded last will have.
    pub(crate) fn last_recorded(&self) -> u64 {
        self.core.frontier.size() + self.core.entries.len() as u64 - 1
    }

    /// The same, with what is personal beside it.
    pub(crate) fn record_personal(&mut self, mut entry: Entry, fields: &[(Field, &str)]) {
        let mut personal = Personal::new(self.entropy());
        for (field, text) in fields {
            personal = personal.with(*field, text);
        }
        if personal.is_empty() {
            return self.record(entry);
        }
        entry.personal = Some(personal.commitment());
        self.core.entries.push((entry, Some(personal)));
    }

    /// Tells others once the commit is durable.
    pub(crate) fn announce(&mut self, news: News) {
        if news == News::Directory {
            self.core.asking.forget();
        }
        self.core.news.push(news);
    }
}

impl Core {
    /// What a database that was just opened makes of it.
    pub(crate) fn new(
        db: Connection,
        keys: std::sync::Arc<Keys>,
        entropy: std::sync::Arc<dyn Entropy>,
        meta: Meta,
    ) -> Self {
        Self {
            db,
            keys,
            entropy,
            clock: meta.clock,
            adopt_upto: meta.adopt_upto,
            frontier: meta.frontier,
            used: meta.used,
            asking: Askers::default(),
            signed: None,
            note: None,
            scribe: None,
            copier: None,
            stale: false,
            entries: Vec::new(),
            news: Vec::new(),
        }
    }

    /// Runs one change in a savepoint. On `Err`, and on a panic, nothing of it is left.
    pub(crate) fn apply<C: Change>(
        &mut self,
        change: C,
        actor: Actor,
        now: Timestamp,
    ) -> Result<C::Outcome, StoreError> {
        let (frontier, news, used) = (self.frontier.clone(), self.news.len(), self.used.place());
        let (signed, note) = (self.signed, self.note.clone());
        self.db.run("SAVEPOINT change", ())?;
        // Unwinding leaves the connection sound (SQLite is C, and no callback of ours runs inside it), and all
        // that is ours is put back below.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let outcome = change.apply(&mut Tx { core: self, actor, now })?;
            ledger::append(self)?;
            Ok(outcome)
        }))
        .unwrap_or(Err(StoreError::Broken));
        if result.is_err() {
            self.entries.clear();
            self.news.truncate(news);
            self.frontier = frontier;
            self.used.back_to(used);
            self.asking.forget();
            (self.signed, self.note) = (signed, note);
            // Where SQLite rolled back the whole transaction by itself there is no savepoint left; the writer sees to that.
            if !self.db.is_autocommit() {
                self.db.run("ROLLBACK TO change", ())?;
            }
        }
        if !self.db.is_autocommit() {
            self.db.run("RELEASE change", ())?;
        }
        result
    }
}
