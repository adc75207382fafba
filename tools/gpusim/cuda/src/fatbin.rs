//! Module images: PTX text, fatbins, cubins. The PTX is found and given back.
//!
//! A fatbin is a 16-byte header (magic, version, header size, bytes that follow) and entries, each a header and a
//! payload. Of an entry's header this reads: kind (u16 at 0; 1 is PTX), header size (u32 at 4), payload size in the
//! file (u64 at 8), compressed size (u32 at 16), architecture (u32 at 28), flags (u64 at 40: 0x2000 LZ4, 0x8000 zstd)
//! and decompressed size (u64 at 56). NVIDIA does not document it; the fields are what nvcc 12 and 13 write.

use std::io::Read;

use crate::error::{Error, Result};
use crate::host;
use crate::machine::accepted;

const FATBIN: u32 = 0xba55_ed50;
const WRAPPER: u32 = 0x4662_43b1;
const ELF: u32 = 0x464c_457f;
const PTX_KIND: u16 = 1;
const LZ4: u64 = 0x2000;
const ZSTD: u64 = 0x8000;
/// No PTX is larger; a size beyond it is a malformed file.
const LIMIT: usize = 1 << 30;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

struct Entry<'a> {
    kind: u16,
    architecture: u32,
    flags: u64,
    bytes: usize,
    payload: &'a [u8],
}

/// The entries of a container; `None` if it is malformed.
fn entries(mut rest: &[u8]) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let header = u32_at(rest, 4)? as usize;
        let size = usize::try_from(u64_at(rest, 8)?).ok()?;
        let end = header.checked_add(size)?;
        if header < 64 {
            return None;
        }
        let payload = rest.get(header..end)?;
        let compressed = u32_at(rest, 16)? as usize;
        let flags = u64_at(rest, 40)?;
        let is_compressed = flags & (LZ4 | ZSTD) != 0;
        entries.push(Entry {
            kind: u16_at(rest, 0)?,
            architecture: u32_at(rest, 28)?,
            flags,
            bytes: if is_compressed { usize::try_from(u64_at(rest, 56)?).ok()? } else { size },
            payload: if is_compressed { payload.get(..compressed)? } else { payload },
        });
        rest = &rest[end..];
    }
    Some(entries)
}

fn text(entry: &Entry) -> Option<String> {
    let bytes = if entry.bytes > LIMIT {
        return None;
    } else if entry.flags & ZSTD != 0 {
        let mut out = Vec::new();
        let decoder = ruzstd::decoding::StreamingDecoder::new(entry.payload).ok()?;
        decoder.take(entry.bytes as u64).read_to_end(&mut out).ok()?;
        out
    } else if entry.flags & LZ4 != 0 {
        crate::lz4::decode(entry.payload, entry.bytes)?
    } else {
        entry.payload.to_vec()
    };
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

/// The architecture suffix of a `.target`: `a`, `f` or none.
fn target_suffix(ptx: &str) -> Option<char> {
    let target = ptx.split(".target").nth(1)?.trim_start().strip_prefix("sm_")?;
    target.trim_start_matches(|c: char| c.is_ascii_digit()).chars().next().filter(char::is_ascii_alphabetic)
}

/// The newest PTX in a container that the device can run.
fn newest(container: &[u8]) -> Result<String> {
    let mut candidates = entries(container).ok_or(Error::INVALID_IMAGE)?;
    candidates.retain(|entry| entry.kind == PTX_KIND && entry.architecture <= accepted().sm);
    let mut best: Option<(u32, bool, String)> = None;
    for entry in &candidates {
        let ptx = text(entry).ok_or(Error::INVALID_IMAGE)?;
        // Architecture-specific PTX runs on its own architecture only.
        let specific = target_suffix(&ptx).is_some();
        if specific && entry.architecture != accepted().sm {
            continue;
        }
        if best.as_ref().is_none_or(|(sm, s, _)| (*sm, *s) < (entry.architecture, specific)) {
            best = Some((entry.architecture, specific, ptx));
        }
    }
    best.map(|(_, _, ptx)| ptx).ok_or(Error::NO_BINARY_FOR_GPU)
}

/// The PTX of an image in memory, of which only the start is known.
pub fn ptx_at(address: usize) -> Result<String> {
    let mut start = [0; 24];
    // A short text may end at the end of a page.
    if host::read_bytes(address, &mut start).is_err() {
        host::read_bytes(address, &mut start[..4])?;
    }
    match u32_at(&start, 0) {
        Some(WRAPPER) => ptx_at_container(u64_at(&start, 8).unwrap_or(0) as usize),
        Some(FATBIN) => ptx_at_container(address),
        Some(ELF) => Err(Error::NO_BINARY_FOR_GPU),
        _ => check_text(host::get_string(address as *const i8, LIMIT)?),
    }
}

fn ptx_at_container(address: usize) -> Result<String> {
    let mut header = [0; 16];
    host::read_bytes(address, &mut header)?;
    if u32_at(&header, 0) != Some(FATBIN) {
        return Err(Error::INVALID_IMAGE);
    }
    let skip = u16_at(&header, 6).unwrap_or(16) as usize;
    let size = u64_at(&header, 8).unwrap_or(0) as usize;
    if size > LIMIT {
        return Err(Error::INVALID_IMAGE);
    }
    host::check_readable(address + skip, size)?;
    let mut bytes = vec![0; size];
    host::read_bytes(address + skip, &mut bytes)?;
    newest(&bytes)
}

/// The PTX of a file.
pub fn ptx_of_file(bytes: Vec<u8>) -> Result<String> {
    match u32_at(&bytes, 0) {
        Some(FATBIN) => {
            let skip = u16_at(&bytes, 6).unwrap_or(16) as usize;
            let size = usize::try_from(u64_at(&bytes, 8).unwrap_or(0)).map_err(|_| Error::INVALID_IMAGE)?;
            let end = skip.checked_add(size).ok_or(Error::INVALID_IMAGE)?;
            newest(bytes.get(skip..end).ok_or(Error::INVALID_IMAGE)?)
        }
        Some(ELF) => Err(Error::NO_BINARY_FOR_GPU),
        _ => {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            check_text(bytes[..end].to_vec())
        }
    }
}

/// What is neither a container nor text that could be PTX is no image at all.
fn check_text(bytes: Vec<u8>) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|_| Error::INVALID_IMAGE)?;
    let printable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    if text.chars().all(printable) && text.contains('.') { Ok(text) } else { Err(Error::INVALID_IMAGE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container as the header comment says it is laid out.
    fn container(entries: &[(u16, u32, u64, &[u8], usize)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, architecture, flags, payload, bytes) in entries {
            let mut header = [0u8; 64];
            header[..2].copy_from_slice(&kind.to_le_bytes());
            header[4..8].copy_from_slice(&64u32.to_le_bytes());
            let padded = payload.len().next_multiple_of(8);
            header[8..16].copy_from_slice(&(padded as u64).to_le_bytes());
            header[16..20].copy_from_slice(&(payload.len() as u32).to_le_bytes());
            header[28..32].copy_from_slice(&architecture.to_le_bytes());
            header[40..48].copy_from_slice(&flags.to_le_bytes());
            header[56..64].copy_from_slice(&(*bytes as u64).to_le_bytes());
            body.extend(header);
            body.extend(*payload);
            body.resize(body.len() + padded - payload.len(), 0);
        }
        let mut out = FATBIN.to_le_bytes().to_vec();
        out.extend([1, 0, 16, 0]);
        out.extend((body.len() as u64).to_le_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn the_newest_ptx_that_runs_is_taken() {
        let ptx = |target: &str| format!(".version 8.0\n.target sm_{target}\n");
        let texts: Vec<String> = ["80", "86a", "90", "90a", "100"].iter().map(|t| ptx(t)).collect();
        let all: Vec<_> = [80, 86, 90, 90, 100].into_iter().zip(&texts).collect();
        let make = |which: &[usize]| {
            let entries: Vec<_> =
                which.iter().map(|&i| (1, all[i].0, 0x11, all[i].1.as_bytes(), 0)).collect();
            ptx_of_file(container(&entries))
        };
        assert_eq!(make(&[0, 3, 2, 4]).unwrap(), texts[3]);
        assert_eq!(make(&[2, 0]).unwrap(), texts[2]);
        assert_eq!(make(&[1, 0]).unwrap(), texts[0]);
        assert_eq!(make(&[4]), Err(Error::NO_BINARY_FOR_GPU));
        assert_eq!(ptx_of_file(container(&[(2, 90, 0x11, b"\x7fELF", 0)])), Err(Error::NO_BINARY_FOR_GPU));
        assert_eq!(ptx_of_file(b"\x7fELF....".to_vec()), Err(Error::NO_BINARY_FOR_GPU));
    }

    #[test]
    fn compressed_entries_are_decompressed() {
        let block = [0x50, b'.', b'a', b'b', b'c', b'd'];
        assert_eq!(ptx_of_file(container(&[(1, 80, 0x2011, &block, 5)])).unwrap(), ".abcd");
        // A zstd frame with one raw block.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 5, 0x29, 0, 0, b'.', b'a', b'b', b'c', b'd'];
        assert_eq!(ptx_of_file(container(&[(1, 80, 0x8011, &frame, 5)])).unwrap(), ".abcd");
    }

    #[test]
    fn malformed_containers_are_refused() {
        let good = container(&[(1, 80, 0x11, b".version 8.0", 0)]);
        assert!(ptx_of_file(good.clone()).is_ok());
        for at in 0..good.len() {
            for value in [0, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = ptx_of_file(bad);
            }
            assert!(ptx_of_file(good[..at].to_vec()).is_err());
        }
    }
}
