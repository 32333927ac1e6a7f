//! A domain to a machine.

mod drives;
mod error;
mod hardware;
mod ledger;
mod nics;
mod ports;
mod system;

pub use error::Error;

use crate::Parsed;
use crate::text::excerpt;
use ledger::{Element, Ledger};
use machine::{Loss, Machine, Severity};

/// The longest file that is read, in bytes: a domain with hundreds of devices has a few hundred kilobytes.
pub const MAX_SIZE: usize = 16 << 20;

/// What reading a part of a domain adds to.
struct Reading<'a> {
    domain: Element<'a>,
    machine: Machine,
    losses: Vec<Loss>,
}

/// Reads a domain.
///
/// Memory and processors are what the guest starts with: on Xen `currentMemory`, elsewhere `memory`, which a balloon only
/// makes smaller; `vcpu`'s `current`.
///
/// # Errors
/// When the bytes are no domain, when it is a container, or when a value that the machine depends on (processors,
/// memory) is missing or not what it should be.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    if bytes.len() > MAX_SIZE {
        return Err(Error::TooLarge { size: bytes.len(), limit: MAX_SIZE });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| Error::NotText { offset: error.valid_up_to() })?;
    let tree = ledger::tree(text)?;
    let ledger = Ledger::new(&tree);
    let domain = ledger.root();
    if domain.name() != "domain" {
        return Err(Error::NotADomain { name: excerpt(domain.name(), 60) });
    }
    let mut reading = Reading { domain, machine: Machine::default(), losses: Vec::new() };
    system::read(&mut reading)?;
    hardware::read(&mut reading)?;
    if let Some(devices) = domain.child("devices") {
        drives::read(&mut reading, devices)?;
        nics::read(&mut reading, devices)?;
        ports::read(&mut reading, devices)?;
        report_devices(&mut reading, devices);
    }
    drives::number_by_kind(&mut reading);
    let Reading { mut machine, mut losses, .. } = reading;
    machine.properties = ledger.properties(&mut losses);
    Ok(Parsed { machine, losses })
}

/// Devices that have no place in a [`Machine`]. They are kept as properties; these are worth a word.
const UNSUPPORTED: [(&str, Severity, &str); 13] = [
    ("hostdev", Severity::Warning, "a device of the source's host does not move with the machine"),
    (
        "filesystem",
        Severity::Warning,
        "a directory of the source's host does not move: share it over the network",
    ),
    ("shmem", Severity::Warning, "memory shared with other machines of the source's host does not move"),
    ("memory", Severity::Warning, "plugged memory is not carried over"),
    ("lease", Severity::Note, "a lock of the source's host does not move"),
    ("parallel", Severity::Warning, "parallel ports are not carried over"),
    ("smartcard", Severity::Change, "smart cards are not carried over"),
    ("sound", Severity::Change, "sound cards are not carried over to other hypervisors"),
    ("watchdog", Severity::Change, "watchdogs are not carried over to other hypervisors"),
    ("vsock", Severity::Change, "sockets between host and guest are not carried over"),
    ("iommu", Severity::Change, "an IOMMU for the guest is not carried over"),
    ("redirdev", Severity::Note, "USB redirection is set up anew on the target"),
    ("nvram", Severity::Note, "the store of another architecture's firmware is not carried over"),
];

fn report_devices(reading: &mut Reading<'_>, devices: Element<'_>) {
    for device in devices.unread() {
        if let Some((_, severity, why)) = UNSUPPORTED.iter().find(|(name, ..)| *name == device.name()) {
            reading.losses.push(Loss::dropped(*severity, device.path(), *why));
        }
    }
}

/// A loss about an element that is kept as something else.
fn changed(element: Element<'_>, kept_as: &str, why: impl Into<String>) -> Loss {
    Loss::changed(element.path(), kept_as, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_a_property() {
        let text = "<domain type='kvm'><name>a</name><memory>1024</memory><vcpu cpuset='1'>1</vcpu>\
                    <os><type arch='x86_64'>hvm</type></os><on_crash>preserve</on_crash>\
                    <devices><sound model='ich6'/><sound model='ac97'><x/></sound>\
                    <graphics type='vnc' passwd='x'/></devices></domain>";
        let parsed = parse(text.as_bytes()).unwrap();
        let said: Vec<_> =
            parsed.machine.properties.iter().map(|one| (one.key.as_str(), one.value.as_str())).collect();
        assert_eq!(
            said,
            [
                ("vcpu@cpuset", "1"),
                ("on_crash", "<on_crash>preserve</on_crash>"),
                ("devices/sound", "<sound model='ich6'/>"),
                ("devices/sound[2]", "<sound model='ac97'><x/></sound>"),
            ]
        );
        let lost: Vec<_> = parsed.losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(lost, ["devices/sound", "devices/sound[2]", "devices/graphics"]);
    }

    #[test]
    fn other_documents_are_refused() {
        let refuse = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(matches!(refuse(""), Error::Xml(_)));
        assert!(matches!(refuse("<network/>"), Error::NotADomain { .. }));
        assert!(matches!(refuse("<!DOCTYPE domain><domain/>"), Error::Xml(roxmltree::Error::DtdDetected)));
        assert!(matches!(refuse("<domain><memory>1</memory></domain>"), Error::Missing { element: "os" }));
        assert!(matches!(parse(b"<domain>\xff"), Err(Error::NotText { offset: 8 })));
        let lxc = "<domain><memory>1</memory><os><type>exe</type></os></domain>";
        assert!(matches!(refuse(lxc), Error::Container { .. }));
    }
}
