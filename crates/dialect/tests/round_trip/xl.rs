//! Xen's configurations.

use crate::{CASES, assert_round_trip, machines};
use machine::Property;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn a_machine_comes_back(machine in machines(profile::find("xen").unwrap())) {
        assert_round_trip(&dialect::xl::DIALECT, profile::find("xen").unwrap(), &machine);
    }

    #[test]
    fn a_paravirtualised_one_does_too(mut machine in machines(profile::find("xen").unwrap())) {
        let property = |key: &str, value: &str| Property {
            dialect: "xl".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        machine.firmware = machine::Firmware::Bios;
        machine.properties = vec![
            property("bootloader", "\"pygrub\""),
            property("on_crash", "\"preserve\""),
            property("type", "\"pv\""),
        ];
        assert_round_trip(&dialect::xl::DIALECT, profile::find("xen").unwrap(), &machine);
    }
}
