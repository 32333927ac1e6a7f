//! `.vmx` files.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn for_esxi(machine in machines(profile::find("esxi").unwrap())) {
        assert_round_trip(&dialect::vmx::DIALECT, profile::find("esxi").unwrap(), &machine);
    }

    #[test]
    fn for_workstation(machine in machines(profile::find("workstation").unwrap())) {
        assert_round_trip(&dialect::vmx::DIALECT, profile::find("workstation").unwrap(), &machine);
    }
}
