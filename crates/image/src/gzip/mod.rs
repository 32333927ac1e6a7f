//! A gzip stream as a disk of what it unpacks to: [`GzipDisk`] (RFC 1952).
//!
//! Nothing is unpacked to disk. One pass over the stream verifies its checksums, learns its length and keeps the
//! decompressor's state at a bounded number of points; a read goes on from the nearest such point or, for readers
//! that go forwards, from where the last read ended.

mod cursor;
mod reason;
mod stream;

pub use reason::Reason;

use crate::error::Result;
use crate::source::Source;
use block::{BlockRead, Extent, check_range, check_span};
use crc32fast::Hasher;
use cursor::Cursors;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use stream::{Output, State, Stream};

/// The most points at which the state is kept. Each takes some 45 KiB.
const MAX_POINTS: usize = 256;
/// How far apart they are at first, in bytes that came out; twice as far whenever there would be too many.
const FIRST_INTERVAL: u64 = 1 << 20;

/// What a gzip stream unpacks to, as a disk.
pub struct GzipDisk {
    source: Source,
    size: u64,
    /// States in the order of the stream; the first is its beginning.
    points: Vec<State>,
    cursors: Cursors,
}

impl GzipDisk {
    /// The disk that `file`, the bytes of a gzip file of one or more members, unpacks to.
    ///
    /// Reads all of the file once.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) when the stream is damaged or cut short.
    pub fn open(file: Arc<dyn BlockRead>) -> Result<Self> {
        Self::open_at(file, Path::new("gzip stream"))
    }

    /// The same of a file that messages call `path`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_at(file: Arc<dyn BlockRead>, path: &Path) -> Result<Self> {
        let source = Source { disk: file, path: path.to_path_buf() };
        let (size, points) = scan(&source)?;
        Ok(Self { source, size, points, cursors: Cursors::default() })
    }

    /// The first bytes that `file`, the bytes of a gzip file, unpacks to: `length` and maybe some more, or all there are.
    /// Reads no more of the file than that takes, and verifies nothing.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn head(file: Arc<dyn BlockRead>, length: usize) -> Result<Vec<u8>> {
        let source = Source { disk: file, path: Path::new("gzip stream").to_path_buf() };
        let mut stream = Stream::new(source, State::start());
        let mut head = Vec::new();
        while head.len() < length {
            match stream.advance()? {
                Output::End => break,
                Output::MemberEnd { .. } => {}
                Output::Bytes(bytes) => head.extend_from_slice(bytes),
            }
        }
        Ok(head)
    }

    /// A stream that goes on from the last point at or before `offset`.
    fn stream_before(&self, offset: u64) -> Stream {
        let behind = self.points.partition_point(|point| point.output <= offset);
        let state = behind.checked_sub(1).and_then(|index| self.points.get(index));
        Stream::new(self.source.clone(), state.cloned().unwrap_or_else(State::start))
    }
}

/// Verifies a stream; answers with how many bytes it unpacks to and the states that were kept.
fn scan(source: &Source) -> Result<(u64, Vec<State>)> {
    let mut stream = Stream::new(source.clone(), State::start());
    let mut points = vec![State::start()];
    let (mut interval, mut last) = (FIRST_INTERVAL, 0);
    let (mut checksum, mut length) = (Hasher::new(), 0_u32);
    loop {
        match stream.advance()? {
            Output::End => return Ok((stream.state.output, points)),
            Output::MemberEnd { checksum: expected, length: expected_length } => {
                let found = std::mem::take(&mut checksum).finalize();
                if found != expected {
                    return Err(stream.error(Reason::Checksum { expected, found }));
                }
                if length != expected_length {
                    return Err(stream.error(Reason::Length { expected: expected_length, found: length }));
                }
                length = 0;
            }
            Output::Bytes(bytes) => {
                checksum.update(bytes);
                length = length.wrapping_add(bytes.len() as u32);
            }
        }
        if stream.state.output - last >= interval {
            if points.len() == MAX_POINTS {
                let mut index = 0;
                points.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                interval *= 2;
            }
            points.push(stream.state.clone());
            last = stream.state.output;
        }
    }
}

impl BlockRead for GzipDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> block::Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        if !buf.is_empty() {
            self.cursors.read(buf, offset, || self.stream_before(offset))?;
        }
        Ok(())
    }

    fn extents(&self, range: Range<u64>) -> block::Result<Vec<Extent>> {
        check_span(&range, self.size)?;
        Ok(if range.is_empty() { Vec::new() } else { vec![Extent::data(range)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::MemoryDisk;
    use libdeflater::{CompressionLvl, Compressor};

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::fastest());
        let mut packed = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let length = compressor.gzip_compress(bytes, &mut packed).unwrap();
        packed.truncate(length);
        packed
    }

    fn open(packed: Vec<u8>) -> Result<GzipDisk> {
        GzipDisk::open(Arc::new(MemoryDisk::from_bytes(packed)))
    }

    /// Compressible, and different everywhere.
    fn text(length: usize) -> Vec<u8> {
        (0..).flat_map(|number: u64| format!("line {number}\n").into_bytes()).take(length).collect()
    }

    #[test]
    fn conforms() {
        let bytes = text(5_000_001);
        block::conformance::read(&open(member(&bytes)).unwrap(), &bytes);
    }

    #[test]
    fn members_in_a_row_empty_ones_and_padding() {
        let (first, second) = (text(3_000_000), block::conformance::sample(2_000_000, 3));
        let packed = [member(&first), member(&[]), member(&second), vec![0; 700]].concat();
        block::conformance::read(&open(packed).unwrap(), &[first, second].concat());
        assert_eq!(open(member(&[])).unwrap().size(), 0);
        // Padding that does not end in the piece of the file in which it starts.
        let noise = block::conformance::sample(65_400, 9);
        block::conformance::read(&open([member(&noise), vec![0; 200_000]].concat()).unwrap(), &noise);
    }

    #[test]
    fn many_points_are_thinned_out() {
        let bytes = vec![7; 600 << 20];
        let disk = open(member(&bytes)).unwrap();
        assert!(disk.points.len() <= MAX_POINTS && disk.points.len() > MAX_POINTS / 4);
        let mut buf = vec![0; 1000];
        disk.read_at(&mut buf, (500 << 20) + 12345).unwrap();
        assert!(buf.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn threads_may_read_out_of_order() {
        let bytes = text(20 << 20);
        let disk = open(member(&bytes)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (disk, bytes) = (&disk, &bytes);
                scope.spawn(move || {
                    for chunk in (0..20).filter(|chunk| chunk % 4 == thread) {
                        let mut buf = vec![0; 1 << 20];
                        disk.read_at(&mut buf, (chunk as u64) << 20).unwrap();
                        assert_eq!(buf, bytes[chunk << 20..(chunk + 1) << 20]);
                    }
                });
            }
        });
    }

    #[test]
    fn damage_is_found_before_anything_is_read() {
        let packed = member(&text(1_000_000));
        let reason = |packed: Vec<u8>| match open(packed) {
            Err(crate::Error::Format { reason: crate::Reason::Gzip(reason), .. }) => reason,
            other => panic!("{:?}", other.map(|disk| disk.size())),
        };
        let changed = |place: usize, byte: u8| {
            let mut packed = packed.clone();
            packed[place] ^= byte;
            packed
        };
        let length = packed.len();
        for cut in [5, 15, 1000, length - 9, length - 8, length - 1] {
            assert_eq!(reason(packed[..cut].to_vec()), Reason::Truncated, "{cut} of {length}");
        }
        assert!(matches!(reason(changed(length - 8, 1)), Reason::Checksum { .. }));
        assert!(matches!(reason(changed(length - 4, 1)), Reason::Length { .. }));
        assert!(matches!(reason(changed(2, 1)), Reason::Unknown { .. }));
        assert_eq!(reason([packed.clone(), b"rubbish".to_vec()].concat()), Reason::NotAMember);
        assert!(open(changed(length / 2, 0xff)).is_err());
    }
}
