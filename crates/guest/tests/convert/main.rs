//! A Debian guest as VMware has it, in memory: inspected, converted for KVM, and what changed.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod debian;
mod inspection;
mod recipe;
