//! Small values that launches read: written on the host, sent together.

use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use super::device::failed;
use crate::error::Result;

/// Bytes of a piece, where nothing larger is put in it: up to 64 KiB the driver takes from pageable memory without waiting.
const PIECE: usize = 64 << 10;
/// Every value begins at a multiple of this.
const ALIGNMENT: usize = 16;

/// Pieces of memory on both sides. The same series of values gets the same addresses each time.
#[derive(Default)]
pub(super) struct Arena {
    pieces: Vec<Piece>,
    /// The piece that is being filled.
    at: usize,
}

struct Piece {
    host: Vec<u8>,
    device: CudaSlice<u8>,
}

impl Arena {
    /// Puts a value in; the address that it will have.
    pub(super) fn put(&mut self, stream: &Arc<CudaStream>, bytes: &[u8]) -> Result<u64> {
        while self
            .pieces
            .get(self.at)
            .is_some_and(|piece| piece.host.len() + bytes.len() > piece.device.len())
        {
            self.at += 1;
        }
        if self.at == self.pieces.len() {
            let size = bytes.len().next_multiple_of(PIECE).max(PIECE);
            let device = stream.alloc_zeros(size).map_err(failed)?;
            self.pieces.push(Piece { host: Vec::with_capacity(size), device });
        }
        let piece = &mut self.pieces[self.at];
        let address = piece.device.device_ptr(stream).0 + piece.host.len() as u64;
        piece.host.extend_from_slice(bytes);
        let padded = piece.host.len().next_multiple_of(ALIGNMENT);
        piece.host.resize(padded, 0);
        Ok(address)
    }

    /// Whether it holds more than a few pieces.
    pub(super) fn is_large(&self) -> bool {
        self.at >= 16
    }

    /// Copies everything to the device.
    pub(super) fn send(&mut self, stream: &Arc<CudaStream>) -> Result<()> {
        for Piece { host, device } in &mut self.pieces {
            if !host.is_empty() {
                stream.memcpy_htod(host, device).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Forgets everything; addresses begin anew.
    pub(super) fn clear(&mut self) {
        self.pieces.iter_mut().for_each(|piece| piece.host.clear());
        self.at = 0;
    }
}
