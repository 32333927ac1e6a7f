//! OVF descriptors.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn for_esxi(machine in machines(profile::find("esxi").unwrap())) {
        assert_round_trip(&dialect::ovf::DIALECT, profile::find("esxi").unwrap(), &machine);
    }

    #[test]
    fn for_virtualbox(machine in machines(profile::find("virtualbox").unwrap())) {
        assert_round_trip(&dialect::ovf::DIALECT, profile::find("virtualbox").unwrap(), &machine);
    }
}
