//! libvirt's domains.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_machine_comes_back(machine in machines(profile::find("kvm").unwrap())) {
        assert_round_trip(&dialect::libvirt::DIALECT, profile::find("kvm").unwrap(), &machine);
    }
}
