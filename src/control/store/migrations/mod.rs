//! The numbered steps from an empty database to today's. A step that was released is never changed; what changes is a new step.

use rusqlite::{Connection, TransactionBehavior};

/// Every step, in order; the number of the last is the database's `user_version`.
const STEPS: &[&str] = &[include_str!("0001_base.sql"), include_str!("0002_rollouts.sql")];

/// Tells a database of Weir from others: `Weir` as a number.
const APPLICATION: i32 = 0x5765_6972;

/// Why a database cannot be brought to today's form.
#[derive(Debug)]
pub(super) enum MigrationError {
    /// A later Weir has written it: with this format.
    TooNew(u32),
    /// It is another program's.
    Foreign,
    /// The database said no.
    Sqlite(rusqlite::Error),
}

/// The newest format that this version knows.
pub(super) fn newest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// Brings the database to today's form, each step as a whole.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), MigrationError> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != i64::from(APPLICATION) && tables > 0 {
        return Err(MigrationError::Foreign);
    }
    let done = u32::try_from(version).unwrap_or(u32::MAX);
    if done > newest() {
        return Err(MigrationError::TooNew(done));
    }
    for (step, number) in STEPS.iter().zip(1_u32..).skip(done as usize) {
        let step_taken = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step_taken.execute_batch(step)?;
        step_taken.pragma_update(None, "application_id", APPLICATION)?;
        step_taken.pragma_update(None, "user_version", number)?;
        step_taken.commit()?;
    }
    Ok(())
}

impl From<rusqlite::Error> for MigrationError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_taken_once_and_what_is_unknown_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.execute("UPDATE audit_head SET seq = 7", []).unwrap();
        migrate(&mut connection).unwrap();
        let seq: i64 = connection.query_row("SELECT seq FROM audit_head", [], |row| row.get(0)).unwrap();
        assert_eq!(seq, 7);
        connection.pragma_update(None, "user_version", newest() + 1).unwrap();
        assert!(matches!(migrate(&mut connection), Err(MigrationError::TooNew(_))));
        let mut other = Connection::open_in_memory().unwrap();
        other.execute_batch("CREATE TABLE mine (x)").unwrap();
        assert!(matches!(migrate(&mut other), Err(MigrationError::Foreign)));
    }
}
