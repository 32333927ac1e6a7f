//! A Debian guest as VMware has it, in memory: inspected, converted for KVM, and what changed.
#![allow(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod cards;
mod debian;
mod inspection;
mod networks;
#[path = "../one_disk/mod.rs"]
mod one_disk;
mod recipe;
