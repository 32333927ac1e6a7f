//! Proxmox' configuration.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_configuration_says_what_the_machine_is(machine in machines(profile::find("proxmox").unwrap())) {
        assert_round_trip(&dialect::proxmox::DIALECT, profile::find("proxmox").unwrap(), &machine);
    }
}
