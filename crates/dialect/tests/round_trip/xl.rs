//! Xen's configurations.

use crate::compare::options;
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
    fn a_paravirtualised_one_does_too(
        mut machine in machines(profile::find("xen").unwrap()),
        kind in prop::sample::select(vec!["\"pv\"", "\"pvh\""]),
    ) {
        let property = |key: &str, value: &str| Property {
            dialect: "xl".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        machine.firmware = machine::Firmware::Bios;
        machine.properties = vec![
            property("bootloader", "\"pygrub\""),
            property("on_crash", "\"preserve\""),
            property("type", kind),
        ];
        let rendered = dialect::xl::render(&machine, profile::find("xen").unwrap(), &options(&dialect::xl::DIALECT, profile::find("xen").unwrap(), &machine)).unwrap();
        prop_assert!(rendered.text.contains(&format!("type = {kind}")), "{}", rendered.text);
        assert_round_trip(&dialect::xl::DIALECT, profile::find("xen").unwrap(), &machine);
    }
}
