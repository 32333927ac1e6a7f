//! Data that are compressed for a window of 4 KiB, read back by two inflaters, of which one has no more than that.
#![no_main]

use image::deflate::{Deflater, WINDOW};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
use std::cell::RefCell;

/// The most that one case is blown up to: the largest cluster of a qcow2 image.
const LARGEST: usize = 2 << 20;

thread_local! {
    /// One for all cases: what it has seen before is to make no difference.
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
}

fuzz_target!(|input: &[u8]| {
    // The first two bytes say how often and how far apart the others are repeated, so that small inputs
    // reach across chunks and to the edge of the window.
    let [times, gap, pattern @ ..] = input else {
        return;
    };
    let mut data = Vec::new();
    for round in 0..=usize::from(*times) {
        if data.len() + pattern.len() + 16 * usize::from(*gap) > LARGEST {
            break;
        }
        data.extend_from_slice(pattern);
        data.extend((0..16 * usize::from(*gap)).map(|place| (place * (2 * round + 1) >> 3) as u8));
    }

    let mut stream = Vec::new();
    let limit = data.len();
    let fits = DEFLATER.with_borrow_mut(|deflater| deflater.compress(&data, limit, &mut stream));
    assert_eq!(fits, !stream.is_empty());
    if !fits {
        assert!(DEFLATER.with_borrow_mut(|deflater| deflater.compress(&data, usize::MAX, &mut stream)));
        assert!(stream.len() > limit && stream.len() <= limit + 5 * (limit / 65_535 + 1) + 1);
    }
    let mut again = Vec::new();
    assert!(Deflater::new().compress(&data, stream.len(), &mut again));
    assert!(again == stream, "the stream depends on the past");
    assert!(!Deflater::new().compress(&data, stream.len() - 1, &mut again));
    assert!(again == stream, "something was left behind");

    let mut inflated = vec![0; data.len() + 1];
    let length = libdeflater::Decompressor::new().deflate_decompress(&stream, &mut inflated);
    assert_eq!(length, Ok(data.len()));
    assert!(inflated[..data.len()] == data[..]);
    assert!(inflate_with_window(&stream).as_deref() == Some(&data[..]));
});

fn inflate_with_window(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut inflate = DecompressorOxide::new();
    let mut window = [0; WINDOW];
    let mut data = Vec::new();
    loop {
        let start = data.len() % WINDOW;
        let (status, read, written) = decompress(&mut inflate, stream, &mut window, start, 0);
        stream = stream.get(read..)?;
        data.extend_from_slice(window.get(start..start + written)?);
        match status {
            TINFLStatus::Done => return stream.is_empty().then_some(data),
            TINFLStatus::HasMoreOutput => {}
            _ => return None,
        }
    }
}
