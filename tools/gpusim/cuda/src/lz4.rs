//! LZ4 blocks, as nvcc's `--compress-mode=speed` (the only mode before CUDA 12.8) writes them into fatbins.

/// The `bytes` bytes that the block decodes to; `None` if it is malformed.
pub fn decode(block: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.min(1 << 26));
    let mut input = block.iter().copied();
    let length = |nibble: u8, input: &mut dyn Iterator<Item = u8>| -> Option<usize> {
        let mut length = nibble as usize;
        if nibble == 15 {
            loop {
                let more = input.next()?;
                length = length.checked_add(more as usize)?;
                if more != 255 {
                    break;
                }
            }
        }
        Some(length)
    };
    loop {
        let token = input.next()?;
        for _ in 0..length(token >> 4, &mut input)? {
            out.push(input.next()?);
        }
        if out.len() > bytes {
            return None;
        }
        // The last sequence has literals only. What follows it is padding.
        if out.len() == bytes || input.len() == 0 {
            return (out.len() == bytes).then_some(out);
        }
        let offset = input.next()? as usize | (input.next()? as usize) << 8;
        let count = length(token & 15, &mut input)? + 4;
        if offset == 0 || offset > out.len() || out.len() + count > bytes {
            return None;
        }
        // One byte at a time: a match may overlap what it produces.
        for _ in 0..count {
            out.push(out[out.len() - offset]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn literals_matches_and_overlaps() {
        // "abcabcabcab" + "xyz": 3 literals, a match of 8 at distance 3, then 3 literals.
        let block = [0x34, b'a', b'b', b'c', 3, 0, 0x30, b'x', b'y', b'z'];
        assert_eq!(decode(&block, 14).unwrap(), b"abcabcabcabxyz");
    }

    #[test]
    fn long_lengths_continue_in_further_bytes() {
        // 15 + 255 + 1 literals.
        let mut block = vec![0xf0, 255, 1];
        block.extend([7; 271]);
        assert_eq!(decode(&block, 271).unwrap(), vec![7; 271]);
    }

    #[test]
    fn malformed_blocks_are_refused() {
        assert_eq!(decode(&[], 1), None);
        assert_eq!(decode(&[0x30, b'a'], 3), None);
        assert_eq!(decode(&[0x14, b'a', 2, 0, 0x10, b'b'], 10), None, "distance beyond the start");
        assert_eq!(decode(&[0x14, b'a', 0, 0, 0x10, b'b'], 10), None, "distance zero");
        assert_eq!(decode(&[0x1f, b'a', 1, 0, 255], 10), None, "unfinished length");
        assert_eq!(decode(&[0x20, b'a', b'b'], 1), None, "more than announced");
    }
}
