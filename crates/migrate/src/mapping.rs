//! What the source's networks and storages are on the target: [`Mapping`].

use dialect::Network;
use machine::Machine;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the source's networks and storages are on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Networks, by the source's name.
    pub networks: BTreeMap<String, Network>,
    /// Every other network.
    pub any_network: Option<Network>,
    /// Storages, by the source's name: a datastore, a storage of Proxmox', a directory.
    pub storages: BTreeMap<String, String>,
    /// Every other storage.
    pub any_storage: Option<String>,
}

/// What of a source nobody mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmapped {
    /// Networks, by the source's name.
    pub networks: Vec<String>,
    /// Storages, by the source's name.
    pub storages: Vec<String>,
}

/// A text that maps nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// There is no `=` in it, or nothing on one side of it.
    #[error("{text:?} is not of the form SOURCE=TARGET")]
    Form {
        /// The text.
        text: String,
    },
    /// The source's name has two targets.
    #[error("{name:?} is mapped to two targets")]
    Twice {
        /// The source's name.
        name: String,
    },
}

/// What stands for every name that is not mapped by itself.
const ANY: &str = "*";

impl Mapping {
    /// Adds `SOURCE=TARGET` for a network. The target is a bridge's name, or `bridge:NAME`, `network:NAME` for one that the
    /// target manages, `user` for the hypervisor's own stack; `*` stands for every other network of the source's.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn map_network(&mut self, text: &str) -> Result<(), MappingError> {
        let (source, target) = split(text)?;
        let network = match target.split_once(':') {
            Some(("network", name)) => Network::Managed(name.to_owned()),
            Some(("bridge", name)) => Network::Bridge(name.to_owned()),
            _ if target == "user" => Network::User,
            _ => Network::Bridge(target.to_owned()),
        };
        let before = match source {
            ANY => self.any_network.replace(network),
            source => self.networks.insert(source.to_owned(), network),
        };
        before.map_or(Ok(()), |_| Err(MappingError::Twice { name: source.to_owned() }))
    }

    /// Adds `SOURCE=TARGET` for a storage; `*` stands for every other storage of the source's.
    ///
    /// # Errors
    /// [`MappingError`].
    pub fn map_storage(&mut self, text: &str) -> Result<(), MappingError> {
        let (source, target) = split(text)?;
        let before = match source {
            ANY => self.any_storage.replace(target.to_owned()),
            source => self.storages.insert(source.to_owned(), target.to_owned()),
        };
        before.map_or(Ok(()), |_| Err(MappingError::Twice { name: source.to_owned() }))
    }

    /// The target's storage for a disk that the source's description names so.
    pub fn storage(&self, source: Option<&str>) -> Option<String> {
        let mapped = source.and_then(storage_of).and_then(|name| self.storages.get(name));
        mapped.or(self.any_storage.as_ref()).cloned()
    }

    /// What of `machine` nobody mapped.
    pub fn unmapped(&self, machine: &Machine) -> Unmapped {
        let collect = |names: &mut dyn Iterator<Item = &str>| {
            let mut names: Vec<String> = names.map(str::to_owned).collect();
            names.sort();
            names.dedup();
            names
        };
        let mut networks = machine
            .nics
            .iter()
            .filter_map(|nic| nic.network.as_deref())
            .filter(|name| self.any_network.is_none() && !self.networks.contains_key(*name));
        let mut storages = machine
            .disks
            .iter()
            .filter_map(|disk| storage_of(disk.source.as_deref()?))
            .filter(|name| self.any_storage.is_none() && !self.storages.contains_key(*name));
        Unmapped { networks: collect(&mut networks), storages: collect(&mut storages) }
    }
}

impl Unmapped {
    /// As lines for a person; empty when there is nothing.
    pub fn lines(&self) -> Vec<String> {
        let line = |kind: &str, names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            (!names.is_empty()).then(|| format!("{kind} without a mapping: {}", names.join(", ")))
        };
        [line("networks", &self.networks), line("storages", &self.storages)].into_iter().flatten().collect()
    }
}

fn split(text: &str) -> Result<(&str, &str), MappingError> {
    // The last one: a network's name may hold one, a bridge's does not.
    let parts = text.rsplit_once('=').map(|(source, target)| (source.trim(), target.trim()));
    parts
        .filter(|(source, target)| !source.is_empty() && !target.is_empty())
        .ok_or_else(|| MappingError::Form { text: text.to_owned() })
}

/// The storage that the name of a disk's file begins with: `[datastore] path`, `storage:volume`, or the directory of an
/// absolute path. A file beside the description is on none.
fn storage_of(source: &str) -> Option<&str> {
    if let Some((datastore, _)) = source.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some(datastore);
    }
    if source.starts_with('/') {
        return source
            .rsplit_once('/')
            .map(|(directory, _)| directory)
            .filter(|directory| !directory.is_empty());
    }
    if let Some((directory, _)) = source.rsplit_once('\\') {
        return Some(directory);
    }
    source.split_once(':').map(|(storage, _)| storage).filter(|storage| !storage.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{Disk, Nic};

    #[test]
    fn names_are_mapped_and_the_rest_is_told() {
        let nic = |network: &str| Nic { network: Some(network.to_owned()), ..Nic::default() };
        let disk = |source: &str| Disk { source: Some(source.to_owned()), ..Disk::default() };
        let machine = Machine {
            nics: vec![nic("VM Network"), nic("a=b"), nic("DMZ"), nic("DMZ")],
            disks: vec![disk("[ds 1] web/web.vmdk"), disk("local-lvm:vm-1"), disk("beside.vmdk")],
            ..Machine::default()
        };
        let mut mapping = Mapping::default();
        mapping.map_network("VM Network=br0").unwrap();
        mapping.map_network("a=b = network:lan").unwrap();
        mapping.map_storage("ds 1=fast").unwrap();
        assert_eq!(mapping.networks["VM Network"], Network::Bridge("br0".to_owned()));
        assert_eq!(mapping.networks["a=b"], Network::Managed("lan".to_owned()));
        assert_eq!(mapping.storage(Some("[ds 1] x.vmdk")).as_deref(), Some("fast"));
        let unmapped = mapping.unmapped(&machine);
        assert_eq!(unmapped.networks, ["DMZ"]);
        assert_eq!(unmapped.storages, ["local-lvm"]);
        assert_eq!(unmapped.lines().len(), 2);
        mapping.map_network("*=user").unwrap();
        assert_eq!(mapping.unmapped(&machine).networks, [""; 0]);
        assert_eq!(mapping.map_network("DMZ"), Err(MappingError::Form { text: "DMZ".to_owned() }));
        assert!(matches!(mapping.map_network("VM Network=x"), Err(MappingError::Twice { .. })));
    }

    #[test]
    fn a_storage_is_what_a_name_begins_with() {
        for (source, storage) in [
            ("[ds] a/b.vmdk", Some("ds")),
            ("/var/lib/libvirt/images/a.qcow2", Some("/var/lib/libvirt/images")),
            (r"D:\VMs\a.vhdx", Some(r"D:\VMs")),
            ("local:100/a.raw", Some("local")),
            ("a.vmdk", None),
            ("/a", None),
        ] {
            assert_eq!(storage_of(source), storage, "{source}");
        }
    }
}
