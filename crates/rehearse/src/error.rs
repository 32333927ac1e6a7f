//! Why a rehearsal could not be held.

use machine::{Bus, NicModel};

/// The result of a rehearsal.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a rehearsal could not be held. A guest that does not boot is no error but [`crate::Outcome::Failed`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile says nothing about how it is rehearsed.
    #[error("the profile {profile} cannot be rehearsed: QEMU has no machine for it")]
    NotRehearsable {
        /// The profile.
        profile: String,
    },
    /// Xen, or what its first domain is made of, is not there.
    #[error("cannot start Xen")]
    Xen(#[source] appliance::Error),
    /// The guest cannot be a domain of Xen here.
    #[error("the guest cannot be made a domain of Xen: {reason}")]
    NoDomain {
        /// Why not.
        reason: String,
    },
    /// Xen, or its first domain, did not come so far as to start the guest.
    #[error("Xen did not start the guest; it said last: {last}")]
    XenStopped {
        /// The last lines of its console.
        last: String,
    },
    /// Nothing was booted, and there is nothing that could be looked at instead.
    #[error("{guest} holds no Linux system whose drivers could be looked for")]
    NoKernel {
        /// The machine.
        guest: String,
    },
    /// The guest's files could not be read.
    #[error("cannot look for the drivers in {guest}")]
    Look {
        /// The machine.
        guest: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// None of the secrets that were given unlocks an encrypted volume.
    #[error("cannot look into {guest}")]
    Locked {
        /// The machine.
        guest: String,
        /// Which volume, and why not.
        #[source]
        source: guest::volume::ScanError,
    },
    /// A disk could not be read.
    #[error("cannot read {disk} for its digest")]
    Digest {
        /// The disk.
        disk: String,
        /// What went wrong.
        #[source]
        source: Box<image::Error>,
    },
    /// The machine and the disks do not belong together.
    #[error("the machine has {stated} disks, and {given} were given")]
    Disks {
        /// How many disks the machine has.
        stated: usize,
        /// How many there are.
        given: usize,
    },
    /// A disk hangs on a bus that the profile does not offer.
    #[error("{disk} hangs on the bus {bus:?}, which the profile {profile} does not offer")]
    Bus {
        /// The disk.
        disk: String,
        /// Its bus.
        bus: Bus,
        /// The profile.
        profile: String,
    },
    /// A network card is of a model that the profile does not offer.
    #[error("{nic} is of the model {model:?}, which the profile {profile} does not offer")]
    NetworkCard {
        /// The network card.
        nic: String,
        /// Its model.
        model: NicModel,
        /// The profile.
        profile: String,
    },
    /// QEMU could not be run.
    #[error("cannot run the guest")]
    Qemu(#[source] qemu::Error),
    /// There is no place for what the rehearsal needs for a while.
    #[error("cannot make a temporary directory")]
    Directory(#[source] std::io::Error),
    /// The disks could not be served.
    #[error("cannot serve the guest's disks")]
    Serve(#[source] nbd::Error),
    /// The appliance cannot be had, nor what it is started with.
    #[error("cannot find out what runs virtual machines here")]
    Appliance(#[source] appliance::Error),
}

impl Error {
    /// What the administrator can do, where that is known.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Locked { source, .. } => source.remedy(),
            _ => None,
        }
    }

    /// Whether it is the guest that is refused, rather than the work that failed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}
