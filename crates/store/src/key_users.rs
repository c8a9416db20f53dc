//! Who uses an API key, and how often: counted in memory, and written now and then.
//!
//! 1. A use is one of a network, a machine and a purpose; what comes again is one more, and costs no write.
//! 2. What was counted is written once a minute, when somebody looks, and at the end. A crash loses a minute of counting,
//!    and no more: what a key bought is in the ledger.
//! 3. There is an end to both: so many users in memory, so many rows a secret. Whoever comes after that is one of `others`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hallpass_model::api_key::{ApiKey, Way};
use hallpass_model::device::{DEVICE_NAME_MAX, DeviceClass};
use hallpass_model::id::{CredentialId, OrgId};
use hallpass_model::ledger::{Actor, Detail, Entry, Event, Key};
use hallpass_model::network::Network;
use hallpass_model::purpose::{Purpose, plain};
use hallpass_model::time::Timestamp;

use crate::api_keys;
use crate::buy::Presenter;
use crate::change::{Change, Tx};
use crate::error::StoreError;
use crate::open::Store;
use crate::sql::{Columns, Sql, unreadable};

/// Users counted in memory at most, between two writes.
const COUNTED_MAX: usize = 4_096;
/// Users of one secret that are told apart: more than an organisation finds out about one by one.
const USERS_MAX: u32 = 200;
/// Users written in one change: a few milliseconds, in which refreshes wait.
const PIECE: usize = 200;

/// A user of a key: what came from one network, on one machine, for one purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUser {
    /// Which of the key's secrets they have.
    pub secret: CredentialId,
    /// How they use it.
    pub way: Way,
    /// Where they come from: a prefix of the address.
    pub network: Option<Network>,
    /// What their machine is called, as claimed.
    pub machine: String,
    /// What sort of machine it is, as claimed.
    pub class: DeviceClass,
    /// Why, as claimed.
    pub purpose: String,
    /// How often.
    pub uses: u64,
    /// How many of those were since the key's users began to be moved; all of them before that.
    pub uses_since: u64,
    /// When they first did.
    pub first: Timestamp,
    /// When they last did.
    pub last: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Who {
    secret: CredentialId,
    way: Way,
    network: String,
    machine: String,
    class: String,
    purpose: String,
}

impl Who {
    /// Whoever there is no more room for.
    fn others(&self) -> Self {
        Self {
            network: String::new(),
            machine: OTHERS.to_owned(),
            class: DeviceClass::Unknown.to_string(),
            purpose: String::new(),
            ..self.clone()
        }
    }
}

/// What stands in place of a machine's name where there was no room for it. No claim is spelled so.
const OTHERS: &str = "(others)";

#[derive(Debug, Clone, Copy)]
struct Tally {
    org: OrgId,
    uses: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.uses += other.uses;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// What was counted and is not written yet.
#[derive(Debug, Default)]
pub(crate) struct Uses(Mutex<HashMap<Who, Tally>>);

impl Uses {
    fn lock(&self) -> MutexGuard<'_, HashMap<Who, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, who: Who, tally: Tally) {
        let mut counted = self.lock();
        // What is full has room for one more a secret, and there are as many secrets as somebody has made.
        let who = if counted.len() < COUNTED_MAX || counted.contains_key(&who) { who } else { who.others() };
        counted.entry(who).and_modify(|known| known.add(tally)).or_insert(tally);
    }
}

/// How many users were written that had no row before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewOnes(pub usize);

impl Store {
    /// Counts one use of a key. Nothing is written.
    pub fn count_key_use(
        &self,
        org: OrgId,
        secret: CredentialId,
        way: Way,
        presenter: &Presenter,
        now: Timestamp,
    ) {
        let machine = plain(&presenter.machine, DEVICE_NAME_MAX);
        let who = Who {
            secret,
            way,
            network: presenter.from.map(Network::around).as_ref().map(Network::to_string).unwrap_or_default(),
            machine: machine.trim_matches(['(', ')']).to_owned(),
            class: presenter.class.to_string(),
            purpose: presenter.purpose.as_ref().map_or("", Purpose::as_str).to_owned(),
        };
        self.inner.key_uses.add(who, Tally { org, uses: 1, first: now, last: now });
    }

    /// Writes down what was counted. What cannot be written stays counted.
    pub async fn write_key_uses(&self, now: Timestamp) -> Result<NewOnes, StoreError> {
        let mut new = 0;
        loop {
            let piece: Vec<(Who, Tally)> = {
                let mut counted = self.inner.key_uses.lock();
                let some: Vec<Who> = counted.keys().take(PIECE).cloned().collect();
                some.into_iter().filter_map(|who| counted.remove_entry(&who)).collect()
            };
            if piece.is_empty() {
                return Ok(NewOnes(new));
            }
            match self.change(Actor::System, now, WriteUses(piece.clone())).await {
                Ok(more) => new += more,
                Err(error) => {
                    piece.into_iter().for_each(|(who, tally)| self.inner.key_uses.add(who, tally));
                    return Err(error);
                }
            }
        }
    }

    /// Who used this key, whoever came last first. What was counted and not written is not among it.
    pub async fn list_key_users(&self, key: &ApiKey) -> Result<Vec<KeyUser>, StoreError> {
        let mut users = self.read(|db| {
            db.all(
                "SELECT u.secret, u.way, u.network, u.machine, u.class, u.purpose, u.uses, u.uses_before, u.first, u.last \
                 FROM api_key_secrets s CROSS JOIN api_key_users u ON u.secret = s.id WHERE s.key = ?1",
                [key.id.bytes()],
                |row| {
                    let network = row.text(2)?;
                    let uses = row.get::<_, i64>(6)? as u64;
                    Ok(KeyUser {
                        secret: row.id(0)?,
                        way: row.text(1)?.parse().map_err(|()| unreadable(1))?,
                        network: match network.as_str() {
                            "" => None,
                            prefix => Some(prefix.parse().map_err(|_| unreadable(2))?),
                        },
                        machine: row.text(3)?,
                        class: row.word(4)?,
                        purpose: row.text(5)?,
                        uses,
                        uses_since: uses.saturating_sub(row.get::<_, i64>(7)? as u64),
                        first: row.time(8)?,
                        last: row.time(9)?,
                    })
                },
            )
        })?;
        users.sort_by_key(|user| std::cmp::Reverse(user.last));
        Ok(users)
    }
}

struct WriteUses(Vec<(Who, Tally)>);

impl Change for WriteUses {
    /// How many had no row before.
    type Outcome = usize;

    fn apply(self, tx: &mut Tx<'_>) -> Result<usize, StoreError> {
        let mut new = 0;
        let mut direct: HashMap<CredentialId, Tally> = HashMap::new();
        for (who, tally) in self.0 {
            if add(tx, &who, tally)? == 0 {
                new += 1;
                let room: Option<bool> = tx.db().one(
                    "SELECT count(*) < ?2 FROM api_key_users WHERE secret = ?1",
                    (who.secret.bytes(), USERS_MAX),
                    |row| row.get(0),
                )?;
                let who = if room == Some(true) { who.clone() } else { who.others() };
                if add(tx, &who, tally)? == 0 {
                    insert(tx, &who, tally)?;
                }
            }
            if who.way == Way::Direct {
                direct.entry(who.secret).and_modify(|known| known.add(tally)).or_insert(tally);
            }
        }
        for (secret, tally) in direct {
            record_direct(tx, secret, tally)?;
        }
        Ok(new)
    }
}

/// Counts uses in the user's row; says how many rows that is, for there may be none yet.
fn add(tx: &Tx<'_>, who: &Who, tally: Tally) -> Result<usize, StoreError> {
    write(
        tx,
        "UPDATE api_key_users SET uses = uses + ?7, first = min(first, ?8), last = max(last, ?9) \
         WHERE secret = ?1 AND way = ?2 AND network = ?3 AND machine = ?4 AND class = ?5 AND purpose = ?6",
        who,
        tally,
    )
}

fn insert(tx: &Tx<'_>, who: &Who, tally: Tally) -> Result<(), StoreError> {
    write(
        tx,
        "INSERT INTO api_key_users (secret, way, network, machine, class, purpose, uses, uses_before, first, last) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9)",
        who,
        tally,
    )?;
    Ok(())
}

fn write(tx: &Tx<'_>, sql: &'static str, who: &Who, tally: Tally) -> Result<usize, StoreError> {
    tx.db().run(
        sql,
        (
            who.secret.bytes(),
            who.way.text(),
            &who.network,
            &who.machine,
            &who.class,
            &who.purpose,
            tally.uses as i64,
            tally.first.millis(),
            tally.last.millis(),
        ),
    )
}

/// That a key was sent to an API is on record: once for each time that it is written down, with how often it was.
fn record_direct(tx: &mut Tx<'_>, secret: CredentialId, tally: Tally) -> Result<(), StoreError> {
    let key: Option<CredentialId> =
        tx.db().one("SELECT key FROM api_key_secrets WHERE id = ?1", [secret.bytes()], |row| row.id(0))?;
    let Some(key) = key else { return Ok(()) };
    let Some(key) = api_keys::find(tx.db(), tally.org, key)? else { return Ok(()) };
    let detail = Detail::new()
        .with(Key::KIND, "api_key")
        .with(Key::SLUG, key.handle.to_string())
        .with(Key::RULE, "api_key_direct")
        .with(Key::COUNT, i64::try_from(tally.uses).unwrap_or(i64::MAX));
    let entry = api_keys::about(tx, Event::Used, &key);
    tx.record(Entry { credential: Some(secret), detail, ..entry });
    Ok(())
}
