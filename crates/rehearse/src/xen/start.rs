//! What a domain is started by: the kernel, the initramfs and the command line that the guest's boot loader would take.

use crate::prepare::Seen;
use appliance::xen;
use guest::fs::{FsError, GuestFs};
use guest::inspect::Inspection;

/// The largest kernel or initramfs that is taken, in bytes.
const LARGEST: u64 = 256 << 20;
/// The console of a paravirtual domain.
const CONSOLE: &str = "console=hvc0";

/// What a domain is started by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The kernel's image, decompressed where that is possible.
    pub(crate) kernel: Vec<u8>,
    /// The initramfs as it is.
    pub(crate) initramfs: Option<Vec<u8>>,
    /// The command line, with the domain's console.
    pub(crate) command_line: String,
}

/// Finds them in the guest's files: the kernel and the initramfs are those that were seen to start by default. The inner error
/// says why there are none.
pub(crate) fn find(
    fs: &mut dyn GuestFs,
    inspection: &Inspection,
    seen: &Seen,
) -> Result<Result<Start, String>, FsError> {
    let chosen = seen.drivers.as_ref().and_then(|default| {
        let kernel = inspection.kernels.iter().find(|kernel| kernel.version == default.kernel)?;
        Some((kernel, &default.initramfs))
    });
    let Some((kernel, initramfs)) = chosen else {
        return Ok(Err("no kernel is in its /boot".to_string()));
    };
    let stated = inspection.boot.as_ref().and_then(|boot| boot.command_line.as_deref());
    let Some(stated) = stated else {
        return Ok(Err("its boot loader's configuration has no command line of a kernel".to_string()));
    };
    let image = xen::startable(fs.read(&kernel.image, LARGEST)?);
    if xen::is_paravirtual(&image) == Some(false) {
        return Ok(Err(format!("its kernel {} is built without CONFIG_XEN_PV", kernel.version)));
    }
    let initramfs = match initramfs {
        Some(path) => Some(fs.read(path, LARGEST)?),
        None => None,
    };
    Ok(Ok(Start { kernel: image, initramfs, command_line: command_line(stated) }))
}

/// A boot loader's command line as the kernel gets it: without variables, which have no meaning outside of GRUB, and with
/// the domain's console last, where the kernel looks for its own.
fn command_line(stated: &str) -> String {
    let words = stated.split_whitespace().filter(|word| !word.contains('$') && *word != CONSOLE);
    words.chain([CONSOLE]).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domains_console_is_the_last_one() {
        assert_eq!(
            command_line("root=UUID=x ro console=hvc0 console=ttyS0,115200n8 $tuned_params quiet"),
            "root=UUID=x ro console=ttyS0,115200n8 quiet console=hvc0"
        );
    }
}
