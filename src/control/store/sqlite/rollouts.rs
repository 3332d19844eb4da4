//! Rollouts in the database.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::{SqliteStore, rows::int};
use crate::{
    control::store::{
        StoreError,
        rollouts::{KeptEntry, KeptRollout, Outbound, ROLLOUTS_KEPT, RolloutStore, SETTLED_KEPT_MS},
    },
    types::Name,
};

impl RolloutStore for SqliteStore {
    fn keep_rollout(
        &self,
        rollout: &KeptRollout,
        entries: &[KeptEntry],
        messages: &[Outbound],
    ) -> Result<(), StoreError> {
        self.write_with(|connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            all.execute(
                "INSERT INTO rollouts (id, began_ms, over, state, evidence) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET over = ?3, state = ?4, evidence = ?5",
                params![rollout.id, int(rollout.began_ms), rollout.over, rollout.state, rollout.evidence],
            )?;
            for entry in entries {
                all.execute(
                    "INSERT OR IGNORE INTO rollout_entries (rollout, seq, entry) VALUES (?1, ?2, ?3)",
                    params![rollout.id, int(entry.seq), entry.entry],
                )?;
            }
            for message in messages {
                all.execute(
                    "INSERT OR IGNORE INTO outbox (key, sink, message, made_ms, attempts, due_ms, outcome)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        message.key,
                        message.sink,
                        message.message,
                        int(message.made_ms),
                        message.attempts,
                        message.due_ms.map(int),
                        message.outcome
                    ],
                )?;
            }
            if rollout.over {
                all.execute(
                    "DELETE FROM rollouts WHERE over AND id NOT IN
                     (SELECT id FROM rollouts WHERE over ORDER BY began_ms DESC LIMIT ?1)",
                    [int(ROLLOUTS_KEPT)],
                )?;
            }
            all.commit()
        })
    }

    fn rollouts(&self) -> Result<Vec<KeptRollout>, StoreError> {
        self.read_with(|connection| {
            let mut statement = connection.prepare(
                "SELECT id, began_ms, over, state, evidence FROM rollouts ORDER BY began_ms DESC, rowid DESC",
            )?;
            let found = statement.query_map([], |row| {
                Ok(KeptRollout {
                    id: row.get(0)?,
                    began_ms: number(row, 1)?,
                    over: row.get(2)?,
                    state: row.get(3)?,
                    evidence: row.get(4)?,
                })
            })?;
            found.collect()
        })
    }

    fn rollout_entries(&self, id: &str) -> Result<Vec<String>, StoreError> {
        self.read_with(|connection| {
            let mut statement =
                connection.prepare("SELECT entry FROM rollout_entries WHERE rollout = ?1 ORDER BY seq")?;
            let found = statement.query_map([id], |row| row.get(0))?;
            found.collect()
        })
    }

    fn rollout_versions(&self) -> Result<BTreeMap<Name, Option<String>>, StoreError> {
        self.read_with(|connection| {
            let mut statement = connection.prepare("SELECT route, version FROM rollout_versions")?;
            let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            let mut versions = BTreeMap::new();
            for pair in found {
                let (route, version) = pair?;
                if let Ok(route) = route.parse() {
                    versions.insert(route, version);
                }
            }
            Ok(versions)
        })
    }

    fn set_rollout_versions(&self, versions: &BTreeMap<Name, Option<String>>) -> Result<(), StoreError> {
        self.write_with(|connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            all.execute("DELETE FROM rollout_versions", [])?;
            for (route, version) in versions {
                all.execute(
                    "INSERT INTO rollout_versions (route, version) VALUES (?1, ?2)",
                    params![route.as_str(), version],
                )?;
            }
            all.commit()
        })
    }

    fn due_messages(&self, now_ms: u64, limit: usize) -> Result<(Vec<Outbound>, Option<u64>), StoreError> {
        self.read_with(|connection| due_messages(connection, now_ms, limit))
    }

    fn set_message(&self, message: &Outbound) -> Result<(), StoreError> {
        self.write_with(|connection| {
            connection.execute(
                "UPDATE outbox SET attempts = ?2, due_ms = ?3, outcome = ?4 WHERE key = ?1",
                params![message.key, message.attempts, message.due_ms.map(int), message.outcome],
            )?;
            let forgotten = message.made_ms.saturating_sub(SETTLED_KEPT_MS);
            connection
                .execute("DELETE FROM outbox WHERE due_ms IS NULL AND made_ms < ?1", [int(forgotten)])?;
            Ok(())
        })
    }

    fn use_link(&self, nonce: &str, now_ms: u64, until_ms: u64) -> Result<bool, StoreError> {
        self.write_with(|connection| {
            connection.execute("DELETE FROM links_used WHERE until_ms < ?1", [int(now_ms)])?;
            let used = connection.execute(
                "INSERT OR IGNORE INTO links_used (nonce, until_ms) VALUES (?1, ?2)",
                params![nonce, int(until_ms)],
            )?;
            Ok(used == 1)
        })
    }

    fn is_link_used(&self, nonce: &str) -> Result<bool, StoreError> {
        self.read_with(|connection| {
            connection.prepare("SELECT 1 FROM links_used WHERE nonce = ?1")?.exists([nonce])
        })
    }
}

fn due_messages(
    connection: &Connection,
    now_ms: u64,
    limit: usize,
) -> rusqlite::Result<(Vec<Outbound>, Option<u64>)> {
    let mut statement = connection.prepare(
        "SELECT key, sink, message, made_ms, attempts, due_ms, outcome FROM (
             SELECT *, row_number() OVER (PARTITION BY sink ORDER BY due_ms, made_ms, rowid) AS place
             FROM outbox WHERE due_ms IS NOT NULL AND due_ms <= ?1
         ) WHERE place <= ?2 ORDER BY due_ms, made_ms",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = statement.query_map(params![int(now_ms), limit], |row| {
        Ok(Outbound {
            key: row.get(0)?,
            sink: row.get(1)?,
            message: row.get(2)?,
            made_ms: number(row, 3)?,
            attempts: row.get(4)?,
            due_ms: Some(number(row, 5)?),
            outcome: row.get(6)?,
        })
    })?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let next: Option<i64> =
        connection
            .query_row("SELECT min(due_ms) FROM outbox WHERE due_ms > ?1", [int(now_ms)], |row| row.get(0))?;
    Ok((found, next.and_then(|next| u64::try_from(next).ok())))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}
