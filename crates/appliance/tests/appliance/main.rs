//! The appliance, booted for real, on filesystems that the host's tools made and check afterwards.
//!
//! A boot takes seconds without KVM, so each test asks much of one.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod images;
mod several;
mod single;
