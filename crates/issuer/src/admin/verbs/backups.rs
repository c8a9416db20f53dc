//! Backups, while the server goes on.

use std::path::Path;

use hallpass_model::ledger::Actor;
use hallpass_store::BackupError;

use crate::admin::forms::{Backup, BackupMade};
use crate::admin::office::Office;
use crate::admin::refused::Refused;

pub(super) async fn backup(office: &Office, form: Backup) -> Result<BackupMade, Refused> {
    let path = Path::new(&form.file);
    if !path.is_absolute() {
        return Err(Refused::usage(format_args!("`{}` is not an absolute path", form.file)));
    }
    let made =
        office.store().backup(Actor::Operator, office.now(), path).await.map_err(|error| match error {
            BackupError::Exists(_) => Refused::conflict(error).hint("name another file"),
            BackupError::File { .. } => Refused::broken(error)
                .hint("the server itself writes the copy: its own user must be able to write there"),
            BackupError::Store(error) => error.into(),
        })?;
    Ok(BackupMade { file: form.file, checkpoint: made.checkpoint })
}
