//! Brings a database to the newest schema: forward only, each step once, in one transaction.
//!
//! What was applied is kept with its SHA-256, so that a step edited after its release is found out.

use aws_lc_rs::digest::{SHA256, digest};
use hallpass_model::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use crate::error::OpenError;

/// Every step, in order: `migrations/NNN_name.sql`.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "first", sql: include_str!("migrations/001_first.sql") },
    Step { name: "trusts", sql: include_str!("migrations/002_trusts.sql") },
    Step { name: "step_up", sql: include_str!("migrations/003_step_up.sql") },
    Step { name: "client_proofs", sql: include_str!("migrations/004_client_proofs.sql") },
    Step { name: "api_keys", sql: include_str!("migrations/005_api_keys.sql") },
    Step { name: "agents", sql: include_str!("migrations/006_agents.sql") },
    Step { name: "pushed_requests", sql: include_str!("migrations/007_pushed_requests.sql") },
    Step { name: "client_environment", sql: include_str!("migrations/008_client_environment.sql") },
    Step { name: "key_rotation", sql: include_str!("migrations/009_key_rotation.sql") },
    Step { name: "client_documents", sql: include_str!("migrations/010_client_documents.sql") },
    Step { name: "login_providers", sql: include_str!("migrations/011_login_providers.sql") },
    Step { name: "fapi", sql: include_str!("migrations/012_fapi.sql") },
    Step { name: "wrapped_root", sql: include_str!("migrations/013_wrapped_root.sql") },
    Step { name: "team_roles", sql: include_str!("migrations/014_team_roles.sql") },
    Step { name: "raised_sessions", sql: include_str!("migrations/015_raised_sessions.sql") },
    Step { name: "lease_sessions", sql: include_str!("migrations/016_lease_sessions.sql") },
    Step { name: "owner_lookups", sql: include_str!("migrations/017_owner_lookups.sql") },
    Step { name: "notices", sql: include_str!("migrations/018_notices.sql") },
    Step { name: "registration", sql: include_str!("migrations/019_registration.sql") },
    Step { name: "used_assertions", sql: include_str!("migrations/020_used_assertions.sql") },
    Step { name: "leaks", sql: include_str!("migrations/021_leaks.sql") },
];

/// One step; its number is its place in the list, from 1.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

/// Applies the steps that were not applied yet.
pub(crate) fn migrate(db: &mut Connection, now: Timestamp) -> Result<(), OpenError> {
    migrate_to(db, STEPS, now)
}

fn migrate_to(db: &mut Connection, steps: &[Step], now: Timestamp) -> Result<(), OpenError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 BLOB NOT NULL, applied INTEGER NOT NULL) STRICT",
    )?;
    let applied: Vec<(u32, Vec<u8>)> = {
        let mut rows = tx.prepare("SELECT version, sha256 FROM migrations ORDER BY version")?;
        rows.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    let known = STEPS.len() as u32;
    if let Some((found, _)) = applied.last().filter(|(version, _)| *version > known) {
        return Err(OpenError::Newer { found: *found, known });
    }
    for (i, (version, sum)) in applied.iter().enumerate() {
        if *version as usize != i + 1 || sum[..] != checksum(&STEPS[i])[..] {
            return Err(OpenError::Damaged(format!(
                "schema step {version} is not the one this program applies"
            )));
        }
    }
    for (i, step) in steps.iter().enumerate().skip(applied.len()) {
        tx.execute_batch(step.sql)?;
        tx.execute(
            "INSERT INTO migrations (version, name, sha256, applied) VALUES (?1, ?2, ?3, ?4)",
            (i as u32 + 1, step.name, checksum(step), now.millis()),
        )?;
    }
    Ok(tx.commit()?)
}

fn checksum(step: &Step) -> [u8; 32] {
    digest(&SHA256, step.sql.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// What a database's tables and indexes look like, in one order.
    fn schema(db: &Connection) -> Vec<String> {
        let mut rows = db.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name").unwrap();
        rows.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn every_file_in_the_folder_is_a_step_in_its_place() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/migrations");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let named = |(i, step): (usize, &Step)| format!("{:03}_{}.sql", i + 1, step.name);
        assert_eq!(files, STEPS.iter().enumerate().map(named).collect::<Vec<_>>());
    }

    #[test]
    fn from_each_earlier_schema_the_newest_is_reached_and_it_is_the_same() {
        let mut whole = Connection::open_in_memory().unwrap();
        migrate(&mut whole, NOW).unwrap();
        for earlier in 0..=STEPS.len() {
            let mut db = Connection::open_in_memory().unwrap();
            migrate_to(&mut db, &STEPS[..earlier], NOW).unwrap();
            migrate(&mut db, NOW).unwrap();
            migrate(&mut db, NOW).unwrap();
            assert_eq!(schema(&db), schema(&whole), "from schema {earlier}");
            let applied: u32 = db.query_row("SELECT count(*) FROM migrations", (), |row| row.get(0)).unwrap();
            assert_eq!(applied as usize, STEPS.len());
        }
    }

    #[test]
    fn a_step_that_fails_leaves_nothing_behind() {
        let mut db = Connection::open_in_memory().unwrap();
        let broken =
            [Step { name: "broken", sql: "CREATE TABLE half (id INTEGER); CREATE TABLE half (id INTEGER)" }];
        assert!(migrate_to(&mut db, &broken, NOW).is_err());
        assert!(schema(&db).is_empty());
        migrate(&mut db, NOW).unwrap();
    }
}
