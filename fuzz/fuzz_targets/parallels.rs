//! Parallels' images of one file with anything put over them, descriptors, and any bytes at all.
#![no_main]

mod one_file;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use one_file::{Patch, exercise, patched};

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    Patched { extended: bool, patches: Vec<Patch>, length: Option<u32> },
    Descriptor(String),
    Described { patches: Vec<Patch> },
}

/// Clusters of eight sectors: five, of which the second and the last but one are absent.
fn image(extended: bool) -> Vec<u8> {
    let mut image = vec![0; 4096];
    let mut put = |place: usize, bytes: &[u8]| image[place..place + bytes.len()].copy_from_slice(bytes);
    put(0, if extended { b"WithouFreSpacExt" } else { b"WithoutFreeSpace" });
    for (place, word) in
        [(16, 2_u32), (20, 16), (24, 1), (28, 8), (32, 5), (36, 37), (44, 0x312e_3276), (48, 8)]
    {
        put(place, &word.to_le_bytes());
    }
    for (index, cluster) in [1_u32, 0, 3, 0, 2].into_iter().enumerate() {
        let entry = if extended { cluster } else { cluster * 8 };
        put(64 + index * 4, &entry.to_le_bytes());
    }
    [image, vec![0x11; 4096], vec![0x22; 4096], vec![0x33; 4096]].concat()
}

fn descriptor() -> Vec<u8> {
    b"<?xml version='1.0'?><Parallels_disk_image Version=\"1.0\"><Disk_Parameters><Disk_size>9</Disk_size>\
      </Disk_Parameters><StorageData><Storage><Start>0</Start><End>1</End><Image><GUID>{1}</GUID>\
      <Type>Plain</Type><File>disk</File></Image><Image><GUID>{2}</GUID><Type>Plain</Type><File>disk</File>\
      </Image></Storage><Storage><Start>1</Start><End>9</End></Storage></StorageData><Snapshots>\
      <TopGUID>{1}</TopGUID><Shot><GUID>{1}</GUID><ParentGUID>{2}</ParentGUID></Shot></Snapshots>\
      </Parallels_disk_image>"
        .to_vec()
}

fuzz_target!(
    init: {
        for extended in [false, true] {
            assert_eq!(one_file::first_bytes(image(extended)), [0x11; 4]);
        }
    },
    |input: Input| exercise(match input {
        Input::Bytes(bytes) => bytes,
        Input::Patched { extended, patches, length } => {
            let mut image = image(extended);
            let head = patched(&image[..96], &patches, None);
            image[..96].copy_from_slice(&head);
            image.truncate(length.map_or(usize::MAX, |length| length as usize));
            image
        }
        Input::Descriptor(text) => format!("<?xml version='1.0'?><Parallels_disk_image>{text}").into_bytes(),
        Input::Described { patches } => patched(&descriptor(), &patches, None),
    })
);
