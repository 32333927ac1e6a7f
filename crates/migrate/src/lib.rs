//! Plan, run and record a migration.
