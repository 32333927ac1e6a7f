//! Formats as both tools call them ([`Kind`]), and what a conversion between two of them must reach ([`Goal`]).

use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// A format, in the variant that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Raw,
    Qcow2,
    Qcow2Zlib,
    Qcow2Zstd,
    Vmdk,
    VmdkStream,
    Vhd,
    Vhdx,
    Vdi,
}

impl Kind {
    /// Those whose data lies in the file as it is.
    pub(super) const PLAIN: [Self; 6] =
        [Self::Raw, Self::Qcow2, Self::Vmdk, Self::Vhd, Self::Vhdx, Self::Vdi];

    /// What the tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Qcow2Zlib => "qcow2 zlib",
            Self::Qcow2Zstd => "qcow2 zstd",
            Self::Vmdk => "vmdk",
            Self::VmdkStream => "vmdk stream",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }

    /// A file name for an image of it.
    pub(super) fn file(self, stem: &str) -> String {
        format!("{stem}.{}", self.name().replace(' ', "-"))
    }

    /// Anyvisor's arguments for a target of this kind.
    pub(super) fn ours(self) -> &'static [&'static str] {
        match self {
            Self::Raw => &["--to", "raw"],
            Self::Qcow2 => &["--to", "qcow2"],
            Self::Qcow2Zlib => &["--to", "qcow2", "--compress=zlib"],
            Self::Qcow2Zstd => &["--to", "qcow2", "--compress=zstd"],
            Self::Vmdk => &["--to", "vmdk", "--subformat", "monolithicSparse"],
            Self::VmdkStream => &["--to", "vmdk", "--subformat", "streamOptimized"],
            Self::Vhd => &["--to", "vhd", "--subformat", "dynamic"],
            Self::Vhdx => &["--to", "vhdx", "--subformat", "dynamic"],
            Self::Vdi => &["--to", "vdi", "--subformat", "dynamic"],
        }
    }

    /// What qemu-img calls the format.
    pub(super) fn format_of_qemu(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 | Self::Qcow2Zlib | Self::Qcow2Zstd => "qcow2",
            Self::Vmdk | Self::VmdkStream => "vmdk",
            Self::Vhd => "vpc",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
        }
    }

    /// qemu-img's arguments for a target of this kind.
    fn theirs(self) -> &'static [&'static str] {
        match self {
            Self::Qcow2Zlib => &["-c"],
            Self::Qcow2Zstd => &["-c", "-o", "compression_type=zstd"],
            Self::Vmdk => &["-o", "subformat=monolithicSparse"],
            Self::VmdkStream => &["-o", "subformat=streamOptimized"],
            Self::Vhd => &["-o", "subformat=dynamic"],
            Self::Vhdx => &["-o", "subformat=dynamic"],
            _ => &[],
        }
    }

    /// `qemu-img convert` to this kind, `fast` with many coroutines that write out of order.
    pub(super) fn qemu(self, from: Self, source: &Path, target: &Path, fast: bool) -> Command {
        let mut command = Command::new("qemu-img");
        command.arg("convert");
        if fast {
            command.args(["-W", "-m", "16"]);
        }
        command.args(["-f", from.format_of_qemu(), "-O", self.format_of_qemu()]).args(self.theirs());
        command.arg(source).arg(target);
        command
    }

    /// What a conversion from `from` must reach.
    pub(super) fn goal(self, from: Self) -> Goal {
        match (from, self) {
            (_, Self::VmdkStream) => Goal::Factor { times: 8.0, size: Some(1.03) },
            (_, Self::Qcow2Zlib) => Goal::Factor { times: 2.5, size: Some(1.0) },
            (_, Self::Qcow2Zstd) => Goal::Factor { times: 1.5, size: Some(1.0) },
            (Self::VmdkStream, _) => Goal::Factor { times: 4.0, size: None },
            _ => Goal::Plain,
        }
    }
}

/// What a row must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) enum Goal {
    /// 1.5 times as fast as qemu-img; where that is within 1.5 times of cp, level with cp.
    Plain,
    /// So many times as fast as qemu-img, with a file at most so many times as large.
    Factor {
        /// How many times.
        times: f64,
        /// How many times as large, where that counts.
        size: Option<f64>,
    },
    /// Nothing; for comparison.
    None,
}

/// How much slower than cp is still level with it: what two runs of cp itself differ by.
const LEVEL: f64 = 1.05;

impl Goal {
    /// Whether it is met by `ours` seconds against `qemu` and `cp`; `None` when that cannot be said.
    pub(super) fn is_met(
        self,
        ours: f64,
        qemu: Option<f64>,
        cp: Option<f64>,
        size: Option<f64>,
    ) -> Option<bool> {
        match self {
            Self::None => None,
            Self::Plain => {
                let qemu = qemu?;
                let level = cp.is_some_and(|cp| qemu <= cp * 1.5 && ours <= cp * LEVEL);
                Some(level || qemu / ours >= 1.5)
            }
            Self::Factor { times, size: most } => {
                let small = most.is_none_or(|most| size.is_some_and(|size| size <= most));
                Some(small && qemu? / ours >= times)
            }
        }
    }

    /// For people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Plain => "1.5x, or cp".to_owned(),
            Self::Factor { times, .. } => format!("{times}x"),
            Self::None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_those_that_were_set() {
        let plain = |ours, qemu, cp| Goal::Plain.is_met(ours, Some(qemu), Some(cp), None);
        assert_eq!(plain(1.0, 1.5, 0.5), Some(true));
        assert_eq!(plain(1.0, 1.4, 1.0), Some(true));
        assert_eq!(plain(1.0, 1.4, 0.8), Some(false));
        let packed = Goal::Factor { times: 8.0, size: Some(1.03) };
        assert_eq!(packed.is_met(1.0, Some(8.0), None, Some(1.02)), Some(true));
        assert_eq!(packed.is_met(1.0, Some(8.0), None, Some(1.04)), Some(false));
        assert_eq!(packed.is_met(1.0, Some(7.0), None, Some(1.0)), Some(false));
        assert_eq!(packed.is_met(1.0, None, None, None), Some(false));
    }
}
