//! The one row of what the store knows of itself.

use hallpass_model::cut::{Stamp, StampClock};
use hallpass_model::ledger::Frontier;
use rusqlite::Connection;

use crate::change::Core;
use crate::error::{OpenError, StoreError};
use crate::seal::Keys;
use crate::sql::{Columns, Sql};
use crate::vouch;

/// What a store knows of itself.
pub(crate) struct Meta {
    pub(crate) clock: StampClock,
    pub(crate) adopt_upto: Stamp,
    pub(crate) frontier: Frontier,
}

/// Reads it; a new store gets its first. A key that is not the store's own is refused.
pub(crate) fn open(db: &Connection, keys: &Keys) -> Result<Meta, OpenError> {
    let ledger_key = keys.ledger.verifier().to_string();
    db.run(
        "INSERT INTO meta (id, kek_proof, ledger_key, stamp, stamp_after_cut, adopt_upto, frontier) \
         VALUES (0, ?1, ?2, 0, 0, ?3, ?4) ON CONFLICT DO NOTHING",
        (&keys.proof()[..], &ledger_key, NO_STAMP.0, Frontier::default().to_bytes()),
    )?;
    let kept: Option<([u8; 32], String)> =
        db.one("SELECT kek_proof, ledger_key FROM meta WHERE id = 0", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (proof, signer) = kept.ok_or_else(|| OpenError::Damaged("its own row is missing".into()))?;
    if !bool::from(subtle::ConstantTimeEq::ct_eq(&proof[..], &keys.proof()[..])) {
        return Err(OpenError::WrongKey("key-encryption key"));
    }
    if signer != ledger_key {
        return Err(OpenError::WrongKey("ledger key"));
    }
    Ok(load(db)?)
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
    // A checkpoint that was signed in a commit that failed may not be there.
    (core.signed, core.note) = (None, None);
    core.stale = false;
    Ok(())
}

fn load(db: &Connection) -> Result<Meta, StoreError> {
    db.one("SELECT stamp, stamp_after_cut, adopt_upto, frontier FROM meta WHERE id = 0", (), |row| {
        Ok((
            StampClock { last: row.stamp(0)?, after_cut: row.get(1)? },
            row.stamp(2)?,
            row.get::<_, Vec<u8>>(3)?,
        ))
    })?
    .and_then(|(clock, adopt_upto, frontier)| {
        Frontier::from_bytes(&frontier).map(|frontier| Meta { clock, adopt_upto, frontier })
    })
    .ok_or_else(|| StoreError::Damaged("its own row is unreadable".into()))
}

/// Before every stamp there can be.
pub(crate) const NO_STAMP: Stamp = Stamp(i64::MIN);
