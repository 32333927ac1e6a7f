//! The micro VM in which guest filesystems are mounted and edited.
