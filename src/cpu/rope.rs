//! Rotary positions, in the half-split convention.

use std::sync::{Arc, Mutex};

use crate::backend::rotary_frequencies;
use crate::error::{Error, Result};

/// Cosines and sines of positions `0..len`.
pub(crate) struct Angles {
    half: usize,
    /// Per position: `half` cosines, then `half` sines.
    values: Vec<f32>,
}

impl Angles {
    fn len(&self) -> usize {
        self.values.len() / (2 * self.half).max(1)
    }

    /// Rotates one head at `position`.
    pub(crate) fn rotate(&self, position: usize, head: &mut [f32]) {
        let half = self.half;
        let (cos, sin) = self.values[position * 2 * half..(position + 1) * 2 * half].split_at(half);
        let (low, high) = head.split_at_mut(half);
        for (((x, y), c), s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
            (*x, *y) = (*x * c - *y * s, *y * c + *x * s);
        }
    }
}

/// The tables of a backend, one for each pair of `theta` and head width.
pub(crate) struct Ropes(Mutex<Vec<(u64, usize, Arc<Angles>)>>);

impl Ropes {
    pub(crate) fn new() -> Self {
        Ropes(Mutex::new(Vec::new()))
    }

    /// A table of at least `len` positions.
    pub(crate) fn get(&self, theta: f64, head_dim: usize, len: usize) -> Result<Arc<Angles>> {
        let key = (theta.to_bits(), head_dim);
        let mut tables = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = tables.iter_mut().find(|(theta, width, _)| (*theta, *width) == key);
        if let Some((_, _, angles)) = &found
            && angles.len() >= len
        {
            return Ok(angles.clone());
        }
        // Doubling keeps a growing context from paying for its table at each step.
        let len = len.max(found.as_ref().map_or(0, |(_, _, angles)| 2 * angles.len())).max(64);
        let half = head_dim / 2;
        let mut values = Vec::new();
        values
            .try_reserve_exact(len.saturating_mul(head_dim))
            .map_err(|_| Error::Backend(format!("no memory for the rotary angles of {len} positions")))?;
        // Where the table is made, the powers cost more than all sines and cosines.
        let frequencies = rotary_frequencies(theta, head_dim);
        for position in 0..len {
            let angles = frequencies.iter().map(|frequency| position as f64 * frequency);
            values.extend(angles.clone().map(|angle| angle.cos() as f32));
            values.extend(angles.map(|angle| angle.sin() as f32));
        }
        let angles = Arc::new(Angles { half, values });
        match found {
            Some(slot) => slot.2 = angles.clone(),
            None => tables.push((key.0, key.1, angles.clone())),
        }
        Ok(angles)
    }
}
