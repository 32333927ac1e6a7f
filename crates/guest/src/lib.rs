//! What is inside a disk: partitions, volumes, filesystems, inspection, and the conversion recipes.
//!
//! This crate knows how guests are built and what has to change in them. How their files are reached is behind
//! [`fs::Mounter`]: a real kernel in the appliance, or a tree in memory.

pub mod fs;
pub mod initramfs;
pub mod inspect;
pub mod recipe;
pub mod volume;
