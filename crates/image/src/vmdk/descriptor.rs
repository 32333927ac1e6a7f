//! The descriptor: the text that says how a disk is put together ("Virtual Disk Format 5.0", The Descriptor File).

use super::Reason;
use uuid::Uuid;

/// The longest descriptor that is read, in bytes: a disk of the largest size in pieces of 2 GB needs less.
pub(super) const MAX_BYTES: u64 = 4 << 20;
/// How every descriptor starts, after blank lines.
const SIGNATURE: &str = "# disk descriptorfile";
/// `parentCID` of a disk without a parent.
const NO_PARENT: u32 = u32::MAX;

/// A descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// The content ID, which changes when the disk is written after it was opened.
    pub(super) cid: Option<u32>,
    /// The parent's content ID at the time when the delta was made; `None` for a disk without a parent.
    pub(super) parent_cid: Option<u32>,
    /// Where the parent was.
    pub(super) parent_hint: Option<String>,
    /// VirtualBox' identifier of the disk.
    pub(super) identifier: Option<Uuid>,
    /// VirtualBox' identifier of the parent.
    pub(super) parent_identifier: Option<Uuid>,
    /// VirtualBox' identifier of the content, which changes when the disk is written after it was opened.
    pub(super) modification: Option<Uuid>,
    /// That of the parent at the time when the delta was made.
    pub(super) parent_modification: Option<Uuid>,
    /// `createType`.
    pub(super) create_type: Option<String>,
    /// The extents in the order of the disk.
    pub(super) extents: Vec<ExtentLine>,
    /// The disk controller that the disk was made for, `lsilogic` or `ide`.
    pub(super) adapter: Option<String>,
    /// The version of the virtual hardware that the disk was made for.
    pub(super) hardware: Option<String>,
    /// Whether the disk's contents are encrypted.
    pub(super) encrypted: bool,
}

/// A line that describes an extent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtentLine {
    /// Whether it may be read.
    pub(super) accessible: bool,
    /// How long the extent is, in sectors.
    pub(super) sectors: u64,
    /// What kind it is, in upper case: `FLAT`, `SPARSE`, `ZERO`, `VMFS`, ...
    pub(super) kind: String,
    /// Its file, as it is named there.
    pub(super) file: Option<String>,
    /// Where in a flat file it starts, in sectors.
    pub(super) offset: u64,
}

/// Whether `head`, the beginning of a file, is that of a descriptor.
pub(super) fn is_descriptor(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    text.get(..SIGNATURE.len()).is_some_and(|start| start.eq_ignore_ascii_case(SIGNATURE.as_bytes()))
}

impl Descriptor {
    /// Reads a descriptor, which may be padded with NUL bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = decoded(bytes);
        let mut descriptor = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            descriptor.line(text.trim()).map_err(|what| Reason::DescriptorLine {
                line,
                what,
                text: text.trim().chars().take(60).collect(),
            })?;
        }
        Ok(descriptor)
    }

    fn line(&mut self, text: &str) -> Result<(), &'static str> {
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        if let Some(extent) = ExtentLine::parse(text)? {
            self.extents.push(extent);
            return Ok(());
        }
        let Some((key, value)) = text.split_once('=') else {
            // Products add lines of their own; none of them has been seen to change how a disk reads.
            return Ok(());
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        match key.as_str() {
            "cid" => self.cid = Some(content_id(value)?),
            "parentcid" => self.parent_cid = Some(content_id(value)?).filter(|cid| *cid != NO_PARENT),
            "parentfilenamehint" => self.parent_hint = Some(value.to_owned()),
            "ddb.uuid.image" => self.identifier = identifier(value),
            "ddb.uuid.modification" => self.modification = identifier(value),
            "ddb.uuid.parentmodification" => self.parent_modification = identifier(value),
            "ddb.uuid.parent" => self.parent_identifier = identifier(value),
            "createtype" => self.create_type = Some(value.to_owned()),
            "ddb.adaptertype" => self.adapter = Some(value.to_owned()),
            "ddb.virtualhwversion" => self.hardware = Some(value.to_owned()),
            "encryptionkeys" | "encryption.keysafe" | "encryption.data" => self.encrypted = true,
            _ => {}
        }
        Ok(())
    }
}

/// An identifier, none when it is null.
fn identifier(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil())
}

/// The descriptor `bytes` of a disk of one extent, with the extent's length and the geometry of a disk of `sectors`
/// sectors. All else is kept, byte for byte.
pub(super) fn resized(bytes: &[u8], sectors: u64) -> Vec<u8> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let (cylinders, heads, track) = geometry(sectors);
    let values = [
        ("ddb.geometry.cylinders", cylinders),
        ("ddb.geometry.heads", heads),
        ("ddb.geometry.sectors", track),
    ];
    let mut resized = Vec::with_capacity(bytes.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let (content, line_end) = line.split_at_checked(end).unwrap_or((line, b""));
        let plain = decoded(content);
        let key = plain.split('=').next().unwrap_or_default().trim();
        let geometry = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        if let Some((name, value)) = geometry {
            resized.extend(format!("{name} = \"{value}\"").bytes());
        } else if let Ok(Some(extent)) = ExtentLine::parse(plain.trim()) {
            let old = extent.sectors.to_string();
            let place = content.windows(old.len()).position(|window| window == old.as_bytes()).unwrap_or(end);
            let (before, rest) = content.split_at_checked(place).unwrap_or((content, b""));
            let rest = rest.get(old.len()..).unwrap_or_default();
            resized.extend([before, sectors.to_string().as_bytes(), rest].concat());
        } else {
            resized.extend(content);
        }
        resized.extend(line_end);
    }
    resized
}

/// Sectors of a disk from which on its geometry is another: 1 GiB, and 2 GiB.
const GIB: u64 = 1 << 21;
const TWO_GIB: u64 = 2 * GIB;

/// Cylinders, heads, sectors of a track: what VMware gives a SCSI disk of so many sectors.
pub(super) fn geometry(sectors: u64) -> (u64, u64, u64) {
    let (heads, track) = match sectors {
        0..GIB => (64, 32),
        GIB..TWO_GIB => (128, 32),
        _ => (255, 63),
    };
    ((sectors / (heads * track)).max(1), heads, track)
}

impl ExtentLine {
    /// `RW 4192256 SPARSE "disk-s001.vmdk" 0`: access, sectors, kind, file, offset. `None` for other lines.
    fn parse(text: &str) -> Result<Option<Self>, &'static str> {
        let (access, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let accessible = match access.to_ascii_uppercase().as_str() {
            "RW" | "RDONLY" => true,
            "NOACCESS" => false,
            _ => return Ok(None),
        };
        let (sectors, rest) = word(rest).ok_or("extent")?;
        if sectors.starts_with('=') {
            return Ok(None);
        }
        let sectors = sectors.parse().map_err(|_| "extent with a number of sectors")?;
        let (kind, rest) = word(rest).ok_or("extent with a type")?;
        let rest = rest.trim_start();
        let (file, rest) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (file, rest) = quoted.split_once('"').ok_or("extent with a closed file name")?;
                (Some(file.to_owned()), rest)
            }
            None => (None, rest),
        };
        let offset = match word(rest) {
            Some((offset, _)) if file.is_some() => offset.parse().map_err(|_| "extent with an offset")?,
            _ => 0,
        };
        Ok(Some(Self { accessible, sectors, kind: kind.to_ascii_uppercase(), file, offset }))
    }
}

/// The first word of `text` and what follows.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn content_id(value: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(value, 16).map_err(|_| "content ID of eight hexadecimal digits")
}

/// Descriptors declare an encoding and do not always keep to it. What is not UTF-8 is taken for Latin-1, in which
/// every byte is something.
fn decoded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_every_kind_of_line() {
        let descriptor = Descriptor::parse(
            b"# Disk DescriptorFile\r\nversion=1\r\nencoding=\"windows-1252\"\r\nCID=0172e8a4\r\nparentCID=fffffffe\r\n\
              createType=\"twoGbMaxExtentSparse\"\r\nparentFileNameHint=\"C:\\vm\\a=b.vmdk\"\r\n\
              RW 4192256 SPARSE \"disk one-s001.vmdk\"\r\nRW 63 FLAT \"caf\xe9.vmdk\" 128\r\nNOACCESS 7 ZERO\r\n\
              ddb.comment = \"RW 1 FLAT\"\r\n\0\0\0rubbish",
        )
        .unwrap();
        assert_eq!((descriptor.cid, descriptor.parent_cid), (Some(0x0172_e8a4), Some(0xffff_fffe)));
        assert_eq!(descriptor.parent_hint.as_deref(), Some("C:\\vm\\a=b.vmdk"));
        assert_eq!(descriptor.create_type.as_deref(), Some("twoGbMaxExtentSparse"));
        let line = |accessible, sectors, kind: &str, file: Option<&str>, offset| ExtentLine {
            accessible,
            sectors,
            kind: kind.to_owned(),
            file: file.map(str::to_owned),
            offset,
        };
        assert_eq!(
            descriptor.extents,
            [
                line(true, 4192256, "SPARSE", Some("disk one-s001.vmdk"), 0),
                line(true, 63, "FLAT", Some("café.vmdk"), 128),
                line(false, 7, "ZERO", None, 0),
            ]
        );
        assert!(!descriptor.encrypted);
    }

    #[test]
    fn a_resized_descriptor_keeps_everything_else() {
        let old = b"# Disk DescriptorFile\r\nRW 2048 SPARSE \"caf\xe9 2048.vmdk\"\r\nddb.geometry.cylinders = \"1\"\r\n\
                    ddb.uuid = \"60 00\"\n\0\0";
        let new = b"# Disk DescriptorFile\r\nRW 4096 SPARSE \"caf\xe9 2048.vmdk\"\r\nddb.geometry.cylinders = \"2\"\r\n\
                    ddb.uuid = \"60 00\"\n";
        assert_eq!(resized(old, 4096), new);
    }

    #[test]
    fn geometries_are_those_of_scsi_disks() {
        assert_eq!(geometry(1), (1, 64, 32));
        assert_eq!(geometry(GIB), (512, 128, 32));
        assert_eq!(geometry(16 << 21), (2088, 255, 63));
    }

    #[test]
    fn bad_lines_say_which() {
        let reason = Descriptor::parse(b"# Disk DescriptorFile\nRW many FLAT \"x\"").unwrap_err();
        assert_eq!(
            reason.to_string(),
            "line 2 of the descriptor is no extent with a number of sectors: \"RW many FLAT \\\"x\\\"\""
        );
        assert!(Descriptor::parse(b"CID=xyz").is_err());
        assert!(Descriptor::parse(b"RW 1 FLAT \"x").is_err());
    }
}
