//! Hyper-V's JSON, for both generations, in the newest release and in the one that knows least.

use crate::{CASES, assert_round_trip, machines};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn json_says_what_the_machine_is(machine in machines(profile::find("hyperv").unwrap())) {
        assert_round_trip(&dialect::hyperv::JSON, profile::find("hyperv").unwrap(), &machine);
    }

    #[test]
    fn json_for_the_oldest_release_says_what_it_cannot(
        machine in machines(profile::find_release("hyperv", "2012r2").unwrap())
    ) {
        let profile = profile::find_release("hyperv", "2012r2").unwrap();
        assert_round_trip(&dialect::hyperv::JSON, profile, &machine);
    }
}
