//! The statements, and rows as values.

use rusqlite::{
    Connection, OptionalExtension as _, Row, Transaction, params, params_from_iter,
    types::{FromSqlError, ToSqlOutput, Type, Value},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    AuditQuery, AuditRow, Head, KEYS_KEPT_MS, KeptRevision, Loaded, Record, RevisionInfo, SWEEP_EVERY,
    SigningKey, Stored, chain,
};
use crate::{
    control::{command::Digest, store::Used},
    types::{Name, Revision},
};

/// A number as SQLite has it; ours stay far below the limit.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

// --- reading ---

pub(super) fn load(connection: &mut Connection) -> rusqlite::Result<Loaded> {
    let stored = connection
        .query_row("SELECT revision, file, overlay FROM state", [], |row| {
            Ok(Stored {
                revision: revision_at(row, 0)?,
                file: Digest::from_kept(row.get(1)?),
                overlay: parsed(row, 2)?,
            })
        })
        .optional()?;
    let highest: Option<i64> =
        connection.query_row("SELECT max(number) FROM revisions", [], |row| row.get(0))?;
    let highest = Revision(highest.and_then(|number| u64::try_from(number).ok()).unwrap_or(0));
    let newest = stored.as_ref().map_or(highest, |stored| stored.revision.max(highest));
    let mut statement = connection.prepare("SELECT key, fingerprint, revision, at_ms FROM idempotency")?;
    let used = statement.query_map([], |row| {
        Ok(Used {
            key: row.get(0)?,
            fingerprint: row.get(1)?,
            revision: revision_at(row, 2)?,
            at_ms: number_at(row, 3)?,
        })
    })?;
    let used = used.collect::<rusqlite::Result<_>>()?;
    Ok(Loaded { stored, newest, used, behind: false, fault: None })
}

pub(super) fn head(transaction: &Transaction<'_>) -> rusqlite::Result<Head> {
    transaction.query_row("SELECT seq, hash FROM audit_head", [], |row| {
        Ok(Head { seq: number_at(row, 0)?, hash: row.get(1)? })
    })
}

pub(super) fn revisions(
    connection: &Connection,
    before: Option<Revision>,
    limit: usize,
) -> rusqlite::Result<Vec<RevisionInfo>> {
    let mut statement = connection.prepare(
        "SELECT number, at_ms, action, route, origin, old_value, new_value FROM revisions
         WHERE number < ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let before = before.map_or(i64::MAX, |before| int(before.0));
    let found = statement.query_map(params![before, int(limit as u64)], info)?;
    found.collect()
}

pub(super) fn revision(connection: &Connection, number: Revision) -> rusqlite::Result<Option<KeptRevision>> {
    let kept = connection.query_row(
        "SELECT number, at_ms, action, route, origin, old_value, new_value, file, overlay, text
         FROM revisions JOIN files ON files.digest = revisions.file WHERE number = ?1",
        [int(number.0)],
        |row| {
            Ok(KeptRevision {
                info: info(row)?,
                file: Digest::from_kept(row.get(7)?),
                overlay: parsed(row, 8)?,
                file_text: row.get(9)?,
            })
        },
    );
    kept.optional()
}

pub(super) fn audit(connection: &Connection, query: &AuditQuery) -> rusqlite::Result<Vec<AuditRow>> {
    let before = query.before.map(|before| Value::Integer(int(before)));
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let wanted = [
        ("seq < ?", before),
        ("actor = ?", text(&query.actor)),
        ("route = ?", text(&query.route)),
        ("action = ?", text(&query.action)),
        ("time >= ?", text(&query.since)),
        ("time < ?", text(&query.until)),
    ];
    let (conditions, mut values): (Vec<_>, Vec<_>) =
        wanted.into_iter().filter_map(|(condition, value)| Some((condition, value?))).unzip();
    let conditions = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
    values.push(Value::Integer(int(query.limit as u64)));
    let mut statement = connection
        .prepare(&format!("SELECT seq, row, hash FROM audit WHERE {conditions} ORDER BY seq DESC LIMIT ?"))?;
    let values = params_from_iter(values.into_iter().map(ToSqlOutput::Owned));
    let found = statement.query_map(values, |row| {
        Ok(AuditRow { seq: number_at(row, 0)?, row: parsed(row, 1)?, hash: chain::hex(&row.get(2)?) })
    })?;
    found.collect()
}

pub(super) fn signing_keys(connection: &Connection) -> rusqlite::Result<Vec<SigningKey>> {
    let mut statement = connection.prepare("SELECT key FROM signing_keys ORDER BY position")?;
    let found = statement.query_map([], |row| parsed(row, 0))?;
    found.collect()
}

fn info(row: &Row<'_>) -> rusqlite::Result<RevisionInfo> {
    let route: Option<String> = row.get(3)?;
    Ok(RevisionInfo {
        number: revision_at(row, 0)?,
        at_ms: number_at(row, 1)?,
        action: row.get(2)?,
        route: route.and_then(|route| Name::new(&route).ok()),
        origin: parsed(row, 4)?,
        from: parsed(row, 5)?,
        to: parsed(row, 6)?,
    })
}

fn parsed<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn number_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            Type::Integer,
            FromSqlError::OutOfRange(number).into(),
        )
    })
}

fn revision_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    number_at(row, column).map(Revision)
}

// --- writing ---

/// Replaces what is in force.
pub(super) fn set_state(transaction: &Transaction<'_>, stored: &Stored) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT OR REPLACE INTO state (id, revision, file, overlay) VALUES (1, ?1, ?2, ?3)",
        params![int(stored.revision.0), stored.file.as_str(), json(&stored.overlay)?],
    )?;
    Ok(())
}

/// Adds the revision of `record`, if it made one; all but the newest `keep` give way.
pub(super) fn add_revision(
    transaction: &Transaction<'_>,
    record: &Record,
    keep: u64,
) -> rusqlite::Result<()> {
    let Some(kept) = record.kept() else { return Ok(()) };
    let (number, info) = (kept.info.number.0, &kept.info);
    transaction.execute(
        "INSERT OR IGNORE INTO files (digest, text) VALUES (?1, ?2)",
        params![kept.file.as_str(), kept.file_text],
    )?;
    transaction.execute(
        "INSERT OR REPLACE INTO revisions
         (number, at_ms, action, route, origin, old_value, new_value, file, overlay)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            int(number),
            int(info.at_ms),
            info.action,
            info.route.as_ref().map(Name::as_str),
            json(&info.origin)?,
            json(&info.from)?,
            json(&info.to)?,
            kept.file.as_str(),
            json(&kept.overlay)?,
        ],
    )?;
    transaction
        .execute("DELETE FROM revisions WHERE number <= ?1", [int(number).saturating_sub(int(keep))])?;
    if number.is_multiple_of(SWEEP_EVERY) {
        let nobody = "DELETE FROM files WHERE digest NOT IN (SELECT file FROM revisions)";
        transaction.execute(nobody, [])?;
    }
    Ok(())
}

/// Notes a used idempotency key, and forgets old ones.
pub(super) fn add_used(transaction: &Transaction<'_>, used: Option<&Used>) -> rusqlite::Result<()> {
    let Some(used) = used else { return Ok(()) };
    let old = used.at_ms.saturating_sub(KEYS_KEPT_MS);
    transaction.execute("DELETE FROM idempotency WHERE at_ms < ?1", [int(old)])?;
    transaction.execute(
        "INSERT OR REPLACE INTO idempotency (key, fingerprint, revision, at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![used.key, used.fingerprint, int(used.revision.0), int(used.at_ms)],
    )?;
    Ok(())
}

pub(super) fn add_signing_keys(connection: &mut Connection, keys: &[SigningKey]) -> rusqlite::Result<()> {
    let all = connection.transaction()?;
    for (position, key) in keys.iter().enumerate() {
        let row = params![int(position as u64), json(key)?];
        all.execute("INSERT INTO signing_keys (position, key) VALUES (?1, ?2)", row)?;
    }
    all.commit()
}
