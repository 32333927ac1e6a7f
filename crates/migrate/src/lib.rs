//! Plan, run and record a migration.
//!
//! [`plan`] decides and touches nothing; [`convert`] does what was planned, and packs it; [`manifest`] records it. A target grows
//! in a hidden [`stage`] and becomes visible at once, its manifest last.

pub mod convert;
pub mod description;
pub mod error;
pub mod inspect;
pub mod keys;
pub mod manifest;
pub mod mapping;
pub mod name;
mod opened;
mod pack;
pub mod plan;
pub mod rehearsal;
pub mod reporter;
pub mod request;
mod stage;
pub mod support;
pub mod timeline;
