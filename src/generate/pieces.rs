//! Ragged batches cut into passes of bounded size.

/// A run of consecutive units of one lane: meta-contexts, or tokens of the flat baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The sequence, as its index in the batch.
    pub lane: usize,
    /// First unit.
    pub first: usize,
    /// Units, at least 1.
    pub len: usize,
}

impl Piece {
    /// Cuts the piece into pieces of at most `most` units; nothing is left of an empty one.
    pub fn split(self, most: usize) -> impl Iterator<Item = Piece> {
        (0..self.len).step_by(most).map(move |at| Piece {
            lane: self.lane,
            first: self.first + at,
            len: most.min(self.len - at),
        })
    }
}

/// All of every lane, in pieces of at most `most` units; `lengths` are the lanes'.
pub(super) fn whole(lengths: impl IntoIterator<Item = usize>, most: usize) -> Vec<Piece> {
    let lanes = lengths.into_iter().enumerate();
    lanes.flat_map(|(lane, len)| Piece { lane, first: 0, len }.split(most)).collect()
}

/// Consecutive pieces that fit in one pass of `most` units together, each lane at most once in a pass.
pub(super) fn passes(pieces: &[Piece], most: usize) -> Vec<&[Piece]> {
    let mut passes = Vec::new();
    let mut start = 0;
    let mut total = 0;
    for (i, piece) in pieces.iter().enumerate() {
        let repeated = i > start && pieces[i - 1].lane == piece.lane;
        if i > start && (total + piece.len > most || repeated) {
            passes.push(&pieces[start..i]);
            (start, total) = (i, 0);
        }
        total += piece.len;
    }
    if start < pieces.len() {
        passes.push(&pieces[start..]);
    }
    passes
}

/// The lanes of the pieces of a pass, and the units of each.
pub(super) fn lanes_and_lengths(pass: &[Piece]) -> (Vec<usize>, Vec<usize>) {
    pass.iter().map(|piece| (piece.lane, piece.len)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_hold_every_unit_once_in_order_and_no_lane_twice() {
        for (lengths, most) in
            [(vec![], 4), (vec![0, 3, 0, 9, 1, 1, 1], 4), (vec![5; 7], 5), (vec![1; 9], 2), (vec![30], 7)]
        {
            let pieces = whole(lengths.iter().copied(), most);
            let mut read = vec![0; lengths.len()];
            for pass in passes(&pieces, most) {
                let (lanes, lens) = lanes_and_lengths(pass);
                assert!(lens.iter().sum::<usize>() <= most && lens.iter().all(|&len| len > 0));
                assert!(lanes.is_sorted_by(|a, b| a < b), "{lanes:?}");
                for piece in pass {
                    assert_eq!(piece.first, read[piece.lane]);
                    read[piece.lane] += piece.len;
                }
            }
            assert_eq!(read, lengths);
        }
    }
}
