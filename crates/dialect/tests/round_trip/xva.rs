//! The description in an XVA.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_machine_comes_back(machine in machines(profile::find("xcp-ng").unwrap())) {
        assert_round_trip(&dialect::xva::DIALECT, profile::find("xcp-ng").unwrap(), &machine);
    }
}
