//! The one row of what the store knows of itself.

use hallpass_model::cut::{Stamp, StampClock};
use hallpass_model::ledger::{Detail, Entry, Event, Frontier, Key};
use hallpass_model::random::Entropy;
use hallpass_model::time::Timestamp;
use rusqlite::Connection;
use zeroize::Zeroizing;

use crate::change::{Change, Core, Tx};
use crate::error::{OpenError, StoreError};
use crate::open::StoreKeys;
use crate::seal::{KeyEncryptionKey, Keys};
use crate::sql::{Columns, Sql};
use crate::used::Used;
use crate::vouch;

/// What a store knows of itself.
pub(crate) struct Meta {
    pub(crate) clock: StampClock,
    pub(crate) adopt_upto: Stamp,
    pub(crate) frontier: Frontier,
    pub(crate) used: Used,
}

/// A store's own row, and the keys that it makes of those it is opened with.
pub(crate) struct Opened {
    pub(crate) meta: Meta,
    pub(crate) keys: Keys,
    /// What is to be done at once, where another key-encryption key takes the place of the one before.
    pub(crate) takes_over: Option<TakeOver>,
}

/// Reads it; a new store gets its first. A key that is not the store's own is refused.
pub(crate) fn open(
    db: &Connection,
    keys: StoreKeys,
    entropy: &dyn Entropy,
    now: Timestamp,
) -> Result<Opened, OpenError> {
    let StoreKeys { kek, previous, ledger } = keys;
    let ledger_key = ledger.verifier().to_string();
    let (root, proof) = kek.new_root(entropy);
    db.run(
        "INSERT INTO meta (id, kek_proof, ledger_key, stamp, stamp_after_cut, adopt_upto, frontier, root, kek_since) \
         VALUES (0, ?1, ?2, 0, 0, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        (&proof[..], &ledger_key, NO_STAMP.0, Frontier::default().to_bytes(), root, now.millis()),
    )?;
    let kept: Option<([u8; 32], String, Option<Vec<u8>>)> =
        db.one("SELECT kek_proof, ledger_key, root FROM meta WHERE id = 0", (), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let (known, signer, root) = kept.ok_or_else(|| OpenError::Damaged("its own row is missing".into()))?;
    let is_known =
        |kek: &KeyEncryptionKey| bool::from(subtle::ConstantTimeEq::ct_eq(&known[..], &kek.proof()[..]));
    let (opens, takes_over) = match previous {
        _ if is_known(&kek) => (kek, None),
        Some(previous) if is_known(&previous) => (previous, Some(kek)),
        _ => return Err(OpenError::WrongKey("key-encryption key")),
    };
    if signer != ledger_key {
        return Err(OpenError::WrongKey("ledger key"));
    }
    let keys = match root {
        Some(root) => Keys::unwrapped(&opens, &root, ledger)?,
        None => Keys::new(&opens, ledger),
    };
    let takes_over = takes_over.map(|kek| {
        let (root, proof) = keys.wrapped_under(&kek, entropy);
        TakeOver { root, proof }
    });
    Ok(Opened { meta: load(db)?, keys, takes_over })
}

/// Another key-encryption key takes the place of the one before. Nothing that is encrypted or hashed changes but the root's own
/// wrapping.
pub(crate) struct TakeOver {
    root: Vec<u8>,
    proof: Zeroizing<[u8; 32]>,
}

impl Change for TakeOver {
    type Outcome = ();

    fn apply(self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        tx.db().run(
            "UPDATE meta SET root = ?1, kek_proof = ?2, kek_since = ?3 WHERE id = 0",
            (self.root, &self.proof[..], tx.now.millis()),
        )?;
        let detail = Detail::new().with(Key::KIND, "encryption").with(Key::REASON, "command");
        tx.record(Entry { detail, ..tx.entry(Event::KeyRotated) });
        Ok(())
    }
}

/// Since when the key-encryption key is the one that it is; none where that was before it was written down.
pub(crate) fn kek_since(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    Ok(db.one("SELECT kek_since FROM meta WHERE id = 0", (), |row| row.maybe_time(0))?.flatten())
}

/// Writes the clock and the tree's edge, in the transaction of what moved them.
pub(crate) fn save(core: &Core) -> Result<(), StoreError> {
    core.db.run(
        "UPDATE meta SET stamp = ?1, stamp_after_cut = ?2, frontier = ?3 WHERE id = 0",
        (core.clock.last.0, core.clock.after_cut, core.frontier.to_bytes()),
    )?;
    Ok(())
}

/// Takes over what the disk says, if that is what was signed.
pub(crate) fn reload(core: &mut Core) -> Result<(), StoreError> {
    let meta = load(&core.db)?;
    let doubt = vouch::doubt_inside(&core.db, &meta.frontier, &core.keys.ledger.verifier())?;
    if let Some(doubt) = doubt {
        return Err(StoreError::Damaged(doubt.to_string()));
    }
    // INVARIANT: stamps never go back, whatever was rolled back.
    if meta.clock.last > core.clock.last {
        core.clock = meta.clock;
    }
    core.adopt_upto = meta.adopt_upto;
    core.frontier = meta.frontier;
    core.used = meta.used;
    core.asking.forget();
    // A checkpoint that was signed in a commit that failed may not be there.
    (core.signed, core.note) = (None, None);
    core.stale = false;
    Ok(())
}

fn load(db: &Connection) -> Result<Meta, StoreError> {
    let used = Used::load(db)?;
    db.one("SELECT stamp, stamp_after_cut, adopt_upto, frontier FROM meta WHERE id = 0", (), |row| {
        Ok((
            StampClock { last: row.stamp(0)?, after_cut: row.get(1)? },
            row.stamp(2)?,
            row.get::<_, Vec<u8>>(3)?,
        ))
    })?
    .and_then(|(clock, adopt_upto, frontier)| {
        Frontier::from_bytes(&frontier).map(|frontier| Meta { clock, adopt_upto, frontier, used })
    })
    .ok_or_else(|| StoreError::Damaged("its own row is unreadable".into()))
}

/// Before every stamp there can be.
pub(crate) const NO_STAMP: Stamp = Stamp(i64::MIN);
