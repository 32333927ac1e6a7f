//! How well what was read agrees with what somebody else says of the same.

/// Facts that agree, and those that do not, with what was expected.
#[derive(Default)]
pub struct Score {
    /// How many agree.
    pub right: usize,
    /// Those that do not.
    pub wrong: Vec<String>,
}

impl Score {
    /// Compares a fact with what was expected.
    pub fn check<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, got: T, expected: T) {
        if got == expected {
            self.right += 1;
        } else {
            self.wrong.push(format!("{what}: got {got:?}, expected {expected:?}"));
        }
    }

    /// Prints the score, and every fact that differs.
    pub fn print(&self, what: &str) {
        println!("{what}: {} facts right, {} not:", self.right, self.wrong.len());
        for wrong in &self.wrong {
            println!("  {wrong}");
        }
    }
}
