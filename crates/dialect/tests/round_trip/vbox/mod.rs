//! VirtualBox's settings.

mod rules;

use crate::{CASES, assert_round_trip, machines, options};
use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};

/// That a reader of XML that we did not write finds nothing wrong.
fn assert_well_formed(text: &str) {
    let mut child = Command::new("xmllint")
        .args(["--noout", "--nonet", "--noent", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("xmllint is needed (Debian: libxml2-utils): {error}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn settings_say_the_machine_less_the_losses(machine in machines(profile::find("virtualbox").unwrap())) {
        let (dialect, profile) = (&dialect::vbox::DIALECT, profile::find("virtualbox").unwrap());
        assert_round_trip(dialect, profile, &machine);
        let options = options(dialect, profile, &machine);
        let text = dialect::vbox::render(&machine, profile, &options).unwrap().text;
        rules::check(&text);
        assert_well_formed(&text);
    }
}
