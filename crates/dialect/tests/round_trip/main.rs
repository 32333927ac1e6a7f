//! What is written and read again: the same machine, less the losses that the writing told.
//!
//! A dialect that is both read and written has a module here, which is a few lines: [`machines`] gives it arbitrary
//! machines on a profile's hardware, [`assert_round_trip`] compares.

#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod compare;
mod hyperv;
mod kubevirt;
mod libvirt;
mod machines;
mod openstack;
mod ovf;
mod proxmox;
mod vbox;
mod vmx;
mod xl;
mod xva;

pub use compare::{assert_round_trip, options};
pub use machines::machines;

/// How many machines a property is tried on.
pub const CASES: u32 = 128;

mod strategy {
    //! That the machines are worth trying.

    use crate::machines;
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    #[test]
    fn every_profile_has_machines_of_every_kind() {
        for profile in profile::all() {
            let strategy = machines(profile);
            let mut runner = TestRunner::deterministic();
            let machines: Vec<_> =
                (0..64).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
            for machine in &machines {
                assert_eq!(dialect::adapt(machine, profile).objections, [], "{}", profile.id);
            }
            let some = |what: fn(&machine::Machine) -> bool| machines.iter().any(what);
            assert!(some(|machine| machine.disks.len() > 2), "{}", profile.id);
            assert!(some(|machine| machine.nics.len() > 1), "{}", profile.id);
            assert!(some(|machine| machine.disks.iter().any(|disk| disk.boot_order.is_some())));
            assert!(
                some(|machine| machine.notes.is_some()) && some(|machine| !machine.properties.is_empty())
            );
        }
    }
}
