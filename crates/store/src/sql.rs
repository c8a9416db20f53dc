//! How rows are asked for and read: ids from blobs, times from integers, words from text.

use std::str::FromStr;

use hallpass_model::cut::Stamp;
use hallpass_model::id::{
    AgentId, ClientId, CredentialId, DeviceId, GrantId, LeaseId, OrgId, PasskeyId, PrincipalId, ResourceId,
    SessionId, TeamId, TrustId,
};
use hallpass_model::principal::{Owner, Standing};
use hallpass_model::time::{Lifetime, Timestamp};
use rusqlite::types::{FromSqlError, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::error::StoreError;

/// Statements, each prepared once and kept.
pub(crate) trait Sql {
    /// The one row, if there is one.
    fn one<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError>;

    /// Every row.
    fn all<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError>;

    /// Changes rows, and says how many.
    fn run(&self, sql: &'static str, params: impl Params) -> Result<usize, StoreError>;
}

impl Sql for Connection {
    fn one<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    fn all<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn run(&self, sql: &'static str, params: impl Params) -> Result<usize, StoreError> {
        Ok(self.prepare_cached(sql)?.execute(params)?)
    }
}

/// An id that is kept as 16 bytes.
pub(crate) trait Id: Sized {
    fn of_bytes(bytes: [u8; 16]) -> Self;
}

macro_rules! ids {
    ($($id:ty),* $(,)?) => {$(
        impl Id for $id {
            fn of_bytes(bytes: [u8; 16]) -> Self {
                Self::from_bytes(bytes)
            }
        }
    )*};
}

ids!(
    AgentId,
    ClientId,
    CredentialId,
    DeviceId,
    GrantId,
    LeaseId,
    OrgId,
    PasskeyId,
    PrincipalId,
    ResourceId,
    SessionId,
    TeamId,
    TrustId
);

/// Reading a row's columns as the model's types.
pub(crate) trait Columns {
    fn id<T: Id>(&self, at: usize) -> rusqlite::Result<T>;
    fn maybe_id<T: Id>(&self, at: usize) -> rusqlite::Result<Option<T>>;
    fn time(&self, at: usize) -> rusqlite::Result<Timestamp>;
    fn maybe_time(&self, at: usize) -> rusqlite::Result<Option<Timestamp>>;
    fn stamp(&self, at: usize) -> rusqlite::Result<Stamp>;
    fn standing(&self, at: usize) -> rusqlite::Result<Standing>;
    fn text(&self, at: usize) -> rusqlite::Result<String>;
    fn maybe_lifetime(&self, at: usize) -> rusqlite::Result<Option<Lifetime>>;
    /// Text that a type reads by `FromStr`.
    fn word<T: FromStr>(&self, at: usize) -> rusqlite::Result<T>;
    fn maybe_word<T: FromStr>(&self, at: usize) -> rusqlite::Result<Option<T>>;
    /// Text that serde reads.
    fn json<T: serde::de::DeserializeOwned>(&self, at: usize) -> rusqlite::Result<T>;
    fn maybe_json<T: serde::de::DeserializeOwned>(&self, at: usize) -> rusqlite::Result<Option<T>>;
    /// The person in one column or the team in the next.
    fn owner(&self, at: usize) -> rusqlite::Result<Owner>;
}

impl Columns for Row<'_> {
    fn id<T: Id>(&self, at: usize) -> rusqlite::Result<T> {
        self.get(at).map(T::of_bytes)
    }

    fn maybe_id<T: Id>(&self, at: usize) -> rusqlite::Result<Option<T>> {
        Ok(self.get::<_, Option<[u8; 16]>>(at)?.map(T::of_bytes))
    }

    fn time(&self, at: usize) -> rusqlite::Result<Timestamp> {
        self.get(at).map(Timestamp::from_millis)
    }

    fn maybe_time(&self, at: usize) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(at)?.map(Timestamp::from_millis))
    }

    fn stamp(&self, at: usize) -> rusqlite::Result<Stamp> {
        self.get(at).map(Stamp)
    }

    fn standing(&self, at: usize) -> rusqlite::Result<Standing> {
        Ok(match self.get::<_, Option<i64>>(at)? {
            None => Standing::Active,
            Some(at) if at < 0 => Standing::Suspended(Timestamp::from_millis(-at)),
            Some(at) => Standing::Disabled(Timestamp::from_millis(at)),
        })
    }

    fn text(&self, at: usize) -> rusqlite::Result<String> {
        self.get(at)
    }

    fn maybe_lifetime(&self, at: usize) -> rusqlite::Result<Option<Lifetime>> {
        Ok(self.get::<_, Option<u32>>(at)?.map(Lifetime::seconds))
    }

    fn word<T: FromStr>(&self, at: usize) -> rusqlite::Result<T> {
        self.get_ref(at)?.as_str()?.parse().map_err(|_| unreadable(at))
    }

    fn maybe_word<T: FromStr>(&self, at: usize) -> rusqlite::Result<Option<T>> {
        match self.get_ref(at)? {
            ValueRef::Null => Ok(None),
            _ => self.word(at).map(Some),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, at: usize) -> rusqlite::Result<T> {
        serde_json::from_str(self.get_ref(at)?.as_str()?).map_err(|_| unreadable(at))
    }

    fn maybe_json<T: serde::de::DeserializeOwned>(&self, at: usize) -> rusqlite::Result<Option<T>> {
        match self.get_ref(at)?.as_str_or_null()? {
            Some(text) => serde_json::from_str(text).map(Some).map_err(|_| unreadable(at)),
            None => Ok(None),
        }
    }

    fn owner(&self, at: usize) -> rusqlite::Result<Owner> {
        match (self.maybe_id(at)?, self.maybe_id(at + 1)?) {
            (Some(person), None) => Ok(Owner::Person(person)),
            (None, Some(team)) => Ok(Owner::Team(team)),
            _ => Err(unreadable(at)),
        }
    }
}

/// The value of one column is not one we wrote.
pub(crate) fn unreadable(at: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(FromSqlError::InvalidType))
}

/// The two columns of an owner.
pub(crate) fn owner_columns(owner: &Owner) -> (Option<&[u8; 16]>, Option<&[u8; 16]>) {
    match owner {
        Owner::Person(id) => (Some(id.bytes()), None),
        Owner::Team(id) => (None, Some(id.bytes())),
    }
}

/// The column of a standing, `disabled`: empty for what is in use, and below zero for what is suspended. One column, so
/// that whatever asks for `disabled IS NULL` asks for both.
pub(crate) fn disabled_column(standing: Standing) -> Option<i64> {
    match standing {
        Standing::Active => None,
        // No clock of ours stands before 1970; at its very beginning a suspension is a millisecond late.
        Standing::Suspended(at) => Some(-at.millis().max(1)),
        Standing::Disabled(at) => Some(at.millis()),
    }
}

/// What serde writes for a column. The types given are structs of plain values, which cannot fail.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a struct of plain values is JSON")
}
