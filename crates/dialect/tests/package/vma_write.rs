//! Proxmox' archives, written as `vma_spec.txt` says.

use md5::{Digest, Md5};

pub const CLUSTER: usize = 64 << 10;
pub const BLOCK: usize = 4 << 10;
pub const UUID: [u8; 16] = [7; 16];

/// The blobs of a header.
struct Blobs(Vec<u8>);

impl Blobs {
    fn add(&mut self, bytes: &[u8]) -> u32 {
        let place = self.0.len() as u32;
        self.0.extend((bytes.len() as u16).to_le_bytes());
        self.0.extend(bytes);
        place
    }
}

pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub fn seal(header: &mut [u8], at: usize) {
    header[at..at + 16].fill(0);
    let sum = Md5::digest(&*header);
    put(header, at, &sum);
}

fn header(conf: &str, devices: &[(&str, &[u8])]) -> Vec<u8> {
    let mut blobs = Blobs(vec![0]);
    let mut header = vec![0; 12288];
    put(&mut header, 0, b"VMA\0");
    put(&mut header, 4, &1_u32.to_be_bytes());
    put(&mut header, 8, &UUID);
    let (name, text) = (blobs.add(b"qemu-server.conf\0"), blobs.add(conf.as_bytes()));
    put(&mut header, 2044, &name.to_be_bytes());
    put(&mut header, 3068, &text.to_be_bytes());
    for (index, (name, bytes)) in devices.iter().enumerate() {
        let at = 4096 + 32 * (index + 1);
        let name = blobs.add(format!("{name}\0").as_bytes());
        put(&mut header, at, &name.to_be_bytes());
        put(&mut header, at + 8, &(bytes.len() as u64).to_be_bytes());
    }
    let size = (12288 + blobs.0.len()).next_multiple_of(512);
    put(&mut header, 48, &12288_u32.to_be_bytes());
    put(&mut header, 52, &(blobs.0.len() as u32).to_be_bytes());
    put(&mut header, 56, &(size as u32).to_be_bytes());
    header.extend(blobs.0);
    header.resize(size, 0);
    seal(&mut header, 32);
    header
}

/// An archive of a configuration and its devices, whose clusters come mixed and, of every device, a piece out of order.
pub fn archive(conf: &str, devices: &[(&str, &[u8])]) -> Vec<u8> {
    let mut clusters: Vec<(u8, u32)> = Vec::new();
    for (index, (_, bytes)) in devices.iter().enumerate() {
        let count = bytes.len().div_ceil(CLUSTER) as u32;
        clusters.extend((0..count).map(|cluster| (index as u8 + 1, (cluster + 3) % count)));
    }
    clusters.sort_by_key(|(device, cluster)| (cluster / 8 % 2, *device));
    let mut bytes = header(conf, devices);
    for extent in clusters.chunks(59) {
        let mut head = vec![0; 512];
        let mut data = Vec::new();
        put(&mut head, 0, b"VMAE");
        put(&mut head, 8, &UUID);
        for (index, (device, cluster)) in extent.iter().enumerate() {
            let (_, content) = devices[usize::from(*device) - 1];
            let start = *cluster as usize * CLUSTER;
            let mut mask = 0_u16;
            for (number, block) in
                content[start..content.len().min(start + CLUSTER)].chunks(BLOCK).enumerate()
            {
                if block.iter().any(|byte| *byte != 0) {
                    mask |= 1 << number;
                    data.extend(block);
                    data.resize(data.len().next_multiple_of(BLOCK), 0);
                }
            }
            let entry = u64::from(mask) << 48 | u64::from(*device) << 32 | u64::from(*cluster);
            put(&mut head, 40 + 8 * index, &entry.to_be_bytes());
        }
        put(&mut head, 6, &((data.len() / BLOCK) as u16).to_be_bytes());
        seal(&mut head, 24);
        bytes.extend(head);
        bytes.extend(data);
    }
    bytes
}
