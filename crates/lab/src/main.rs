//! Makes real guests for tests and certification.

fn main() {}
