//! Tensor maps: the 128 opaque bytes that `cuTensorMapEncodeTiled` fills in and `cp.async.bulk.tensor` reads.
//!
//! NVIDIA does not document the encoding, so this is the simulator's own (little endian):
//!
//! | bytes    | content |
//! |----------|---------|
//! | 0..4     | magic `GSTM` |
//! | 4        | layout version, 1 |
//! | 5..11    | data type, rank, interleave, swizzle, L2 promotion, out-of-bounds fill: one byte each |
//! | 16..24   | global address |
//! | 24..44   | five sizes minus one, u32 (a size may be 2^32) |
//! | 44..54   | five box sizes, u16 |
//! | 54..59   | five element strides, u8 |
//! | 64..96   | byte strides of dimensions 1 to 4, u64 |
//! | 120..128 | FNV-1a of bytes 0..120, so that a map that was overwritten or never encoded is noticed |
//!
//! Unused dimensions hold size 1, box 1, element stride 1, byte stride 0. Dimension 0 is the innermost one and dense.

/// Bytes of an encoded tensor map.
pub const TENSOR_MAP_BYTES: usize = 128;

/// Alignment that the driver asks of a tensor map's address.
pub const TENSOR_MAP_ALIGN: usize = 64;

const MAGIC: [u8; 4] = *b"GSTM";
const VERSION: u8 = 1;

/// Element type of a tensor map, numbered as `CUtensorMapDataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum DataType {
    U8 = 0,
    U16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
    Bf16,
    F32Ftz,
    Tf32,
    Tf32Ftz,
}

impl DataType {
    const ALL: [DataType; 13] = [
        DataType::U8,
        DataType::U16,
        DataType::U32,
        DataType::I32,
        DataType::U64,
        DataType::I64,
        DataType::F16,
        DataType::F32,
        DataType::F64,
        DataType::Bf16,
        DataType::F32Ftz,
        DataType::Tf32,
        DataType::Tf32Ftz,
    ];

    /// The type with this number; `None` also for the packed 4- and 6-bit types, which need sm_100.
    pub fn from_number(number: u32) -> Option<DataType> {
        Self::ALL.get(number as usize).copied()
    }

    /// Bytes of one element.
    pub fn bytes(self) -> u32 {
        match self {
            DataType::U8 => 1,
            DataType::U16 | DataType::F16 | DataType::Bf16 => 2,
            DataType::U32 | DataType::I32 | DataType::F32 | DataType::F32Ftz => 4,
            DataType::Tf32 | DataType::Tf32Ftz => 4,
            DataType::U64 | DataType::I64 | DataType::F64 => 8,
        }
    }

    /// Whether the out-of-bounds fill may be NaN.
    pub fn is_float(self) -> bool {
        !matches!(
            self,
            DataType::U8 | DataType::U16 | DataType::U32 | DataType::I32 | DataType::U64 | DataType::I64
        )
    }
}

/// Interleaved layouts, numbered as `CUtensorMapInterleave`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Interleave {
    /// Rows as they are.
    None = 0,
    /// NC/8HWC8: 16-byte channel slices.
    B16,
    /// NC/16HWC16: 32-byte channel slices.
    B32,
}

/// How a box's 16-byte chunks are permuted in shared memory, numbered as `CUtensorMapSwizzle`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Swizzle {
    /// Not at all.
    None = 0,
    /// Within 32-byte rows: address bit 4 ^= bit 7.
    B32,
    /// Within 64-byte rows: address bits 4..6 ^= bits 7..9.
    B64,
    /// Within 128-byte rows: address bits 4..7 ^= bits 7..10.
    B128,
}

impl Swizzle {
    /// Bytes of the row that is permuted, and the limit of the box's inner extent.
    pub fn span(self) -> Option<u32> {
        match self {
            Swizzle::None => None,
            Swizzle::B32 => Some(32),
            Swizzle::B64 => Some(64),
            Swizzle::B128 => Some(128),
        }
    }

    /// The shared address at which the byte of the linear address `address` lies.
    pub fn apply(self, address: u64) -> u64 {
        let bits = match self {
            Swizzle::None => 0,
            Swizzle::B32 => 1,
            Swizzle::B64 => 3,
            Swizzle::B128 => 7,
        };
        address ^ (((address >> 7) & bits) << 4)
    }
}

/// A tiled tensor map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Element type.
    pub data_type: DataType,
    /// Number of dimensions, 1 to 5.
    pub rank: u32,
    /// Generic address of element (0, …, 0).
    pub address: u64,
    /// Sizes in elements; dimension 0 is the innermost.
    pub sizes: [u64; 5],
    /// Byte strides of dimensions 1 to 4.
    pub strides: [u64; 4],
    /// Box sizes in elements.
    pub box_sizes: [u32; 5],
    /// Traversal strides in elements.
    pub element_strides: [u32; 5],
    /// Interleaved layout.
    pub interleave: Interleave,
    /// Shared-memory swizzle.
    pub swizzle: Swizzle,
    /// L2 promotion, 0 to 3: a hint, without effect here.
    pub l2_promotion: u8,
    /// Whether elements out of bounds read as NaN rather than zero.
    pub nan_fill: bool,
}

impl TensorMap {
    /// What the driver checks before it encodes; the error says which rule is broken.
    ///
    /// The documentation also asks that every stride be a multiple of the previous one. Permuted layouts, which
    /// libraries use and hardware runs, break that rule, so it is not checked.
    pub fn validate(&self) -> Result<(), String> {
        let rule = |holds: bool, message: &str| if holds { Ok(()) } else { Err(message.to_string()) };
        let rank = self.rank as usize;
        rule((1..=5).contains(&rank), "the rank is 1 to 5")?;
        rule(
            self.interleave == Interleave::None || rank >= 3,
            "interleaved layouts have a rank of 3 or more",
        )?;
        let unit = if self.interleave == Interleave::B32 { 32 } else { 16 };
        rule(self.address != 0, "the global address is not null")?;
        rule(
            self.address.is_multiple_of(unit),
            "the global address is a multiple of 16 (32 if interleaved by 32)",
        )?;
        for d in 0..rank {
            rule((1..=1 << 32).contains(&self.sizes[d]), "a size is 1 to 2^32")?;
            rule((1..=256).contains(&self.box_sizes[d]), "a box size is 1 to 256")?;
            rule((1..=8).contains(&self.element_strides[d]), "an element stride is 1 to 8")?;
        }
        for stride in &self.strides[..rank - 1] {
            rule(
                stride.is_multiple_of(unit),
                "a stride is a multiple of 16 bytes (32 if interleaved by 32)",
            )?;
            rule(*stride < 1 << 40, "a stride is less than 2^40 bytes")?;
        }
        let inner = self.box_sizes[0] * self.data_type.bytes();
        if self.interleave == Interleave::None {
            rule(inner.is_multiple_of(16), "the box's inner extent is a multiple of 16 bytes")?;
            if let Some(span) = self.swizzle.span() {
                rule(inner <= span, "the box's inner extent is at most the swizzle's span")?;
            }
        }
        rule(
            self.interleave != Interleave::B32 || self.swizzle == Swizzle::B32,
            "an interleave of 32 bytes goes with a swizzle of 32 bytes",
        )?;
        rule(self.l2_promotion <= 3, "the L2 promotion is one of four")?;
        rule(!self.nan_fill || self.data_type.is_float(), "only floating-point tensors are filled with NaN")
    }

    /// The 128 bytes.
    pub fn encode(&self) -> [u8; TENSOR_MAP_BYTES] {
        let mut out = [0; TENSOR_MAP_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = self.data_type as u8;
        out[6] = self.rank as u8;
        out[7] = self.interleave as u8;
        out[8] = self.swizzle as u8;
        out[9] = self.l2_promotion;
        out[10] = self.nan_fill as u8;
        out[16..24].copy_from_slice(&self.address.to_le_bytes());
        for d in 0..5 {
            let used = d < self.rank as usize;
            let (size, extent, step) = match used {
                true => (self.sizes[d], self.box_sizes[d], self.element_strides[d]),
                false => (1, 1, 1),
            };
            out[24 + 4 * d..28 + 4 * d].copy_from_slice(&((size.wrapping_sub(1)) as u32).to_le_bytes());
            out[44 + 2 * d..46 + 2 * d].copy_from_slice(&(extent as u16).to_le_bytes());
            out[54 + d] = step as u8;
            if d > 0 {
                let stride = if used { self.strides[d - 1] } else { 0 };
                out[56 + 8 * d..64 + 8 * d].copy_from_slice(&stride.to_le_bytes());
            }
        }
        let sum = fnv1a(&out[..120]);
        out[120..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The map that these bytes encode; `None` if no `encode` made them.
    pub fn decode(bytes: &[u8; TENSOR_MAP_BYTES]) -> Option<TensorMap> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u16_at(at) as u32 | (u16_at(at + 2) as u32) << 16;
        let u64_at = |at: usize| u32_at(at) as u64 | (u32_at(at + 4) as u64) << 32;
        if bytes[..4] != MAGIC || bytes[4] != VERSION || u64_at(120) != fnv1a(&bytes[..120]) {
            return None;
        }
        let map = TensorMap {
            data_type: DataType::from_number(bytes[5] as u32)?,
            rank: bytes[6] as u32,
            address: u64_at(16),
            sizes: std::array::from_fn(|d| u32_at(24 + 4 * d) as u64 + 1),
            strides: std::array::from_fn(|d| u64_at(64 + 8 * d)),
            box_sizes: std::array::from_fn(|d| u16_at(44 + 2 * d) as u32),
            element_strides: std::array::from_fn(|d| bytes[54 + d] as u32),
            interleave: [Interleave::None, Interleave::B16, Interleave::B32]
                .get(bytes[7] as usize)
                .copied()?,
            swizzle: [Swizzle::None, Swizzle::B32, Swizzle::B64, Swizzle::B128]
                .get(bytes[8] as usize)
                .copied()?,
            l2_promotion: bytes[9],
            nan_fill: bytes[10] != 0,
        };
        Some(map)
    }
}

/// A field that `tensormap.replace` replaces; dimensions count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Address,
    /// The value is the rank minus one.
    Rank,
    Box(u8),
    Size(u8),
    /// Of dimension `n + 1`, in bytes.
    Stride(u8),
    ElementStride(u8),
    DataType,
    Interleave,
    Swizzle,
    Fill,
}

/// Replaces a field of an encoded map. Memory that is all zero becomes a map whose other fields are to follow: no copy
/// accepts it before all that its rank needs are there.
pub(crate) fn replace(map: &mut [u8; TENSOR_MAP_BYTES], field: Field, value: u64) -> Result<(), String> {
    let known = map[..4] == MAGIC && map[4] == VERSION && map[120..] == fnv1a(&map[..120]).to_le_bytes();
    if !known && map.iter().any(|byte| *byte != 0) {
        return Err("the 128 bytes are neither a tensor map nor zero".to_owned());
    }
    if !known {
        map[..4].copy_from_slice(&MAGIC);
        map[4] = VERSION;
        map[54..59].fill(1);
        for d in 0..5 {
            map[44 + 2 * d] = 1;
        }
    }
    let below = |limit: u64| if value < limit { Ok(value as u8) } else { Err(format!("{field:?}: {value}")) };
    // The numbers of `tensormap.replace` differ from `CUtensorMapDataType`'s.
    const TYPES: [DataType; 13] = [
        DataType::U8,
        DataType::U16,
        DataType::U32,
        DataType::I32,
        DataType::U64,
        DataType::I64,
        DataType::F16,
        DataType::F32,
        DataType::F32Ftz,
        DataType::F64,
        DataType::Bf16,
        DataType::Tf32,
        DataType::Tf32Ftz,
    ];
    match field {
        Field::Address => map[16..24].copy_from_slice(&value.to_le_bytes()),
        Field::Rank => map[6] = below(5)? + 1,
        Field::Box(d) => {
            let at = 44 + 2 * usize::from(d);
            let extent = u16::try_from(value).map_err(|_| format!("{field:?}: {value}"))?;
            map[at..at + 2].copy_from_slice(&extent.to_le_bytes());
        }
        Field::Size(d) => {
            let at = 24 + 4 * usize::from(d);
            map[at..at + 4].copy_from_slice(&(value as u32).wrapping_sub(1).to_le_bytes());
        }
        Field::Stride(d) => {
            if d > 3 {
                return Err(format!("{field:?}: a tensor has at most 5 dimensions"));
            }
            let at = 64 + 8 * usize::from(d);
            map[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        Field::ElementStride(d) => map[54 + usize::from(d)] = below(256)?,
        Field::DataType => {
            let ty = TYPES.get(value as usize).ok_or_else(|| format!("element type {value}"))?;
            map[5] = *ty as u8;
        }
        Field::Interleave => map[7] = below(3)?,
        Field::Swizzle => map[8] = below(4)?,
        Field::Fill => map[10] = below(2)?,
    }
    let sum = fnv1a(&map[..120]);
    map[120..].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ byte as u64).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> TensorMap {
        TensorMap {
            data_type: DataType::Bf16,
            rank: 2,
            address: 0x1000_0000_0040,
            sizes: [1 << 32, 77, 1, 1, 1],
            strides: [0x12340, 0, 0, 0],
            box_sizes: [64, 256, 1, 1, 1],
            element_strides: [1, 2, 1, 1, 1],
            interleave: Interleave::None,
            swizzle: Swizzle::B128,
            l2_promotion: 2,
            nan_fill: true,
        }
    }

    #[test]
    fn a_map_survives_its_encoding() {
        let map = matrix();
        map.validate().unwrap();
        assert_eq!(TensorMap::decode(&map.encode()), Some(map));
    }

    #[test]
    fn five_dimensions_survive_their_encoding() {
        let map = TensorMap {
            data_type: DataType::U8,
            rank: 5,
            sizes: [1, 2, 3, 4, 5],
            strides: [16, 32, 48, (1 << 40) - 16],
            box_sizes: [16, 2, 3, 4, 5],
            element_strides: [1, 2, 3, 4, 8],
            nan_fill: false,
            swizzle: Swizzle::None,
            ..matrix()
        };
        map.validate().unwrap();
        assert_eq!(TensorMap::decode(&map.encode()), Some(map));
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let good = matrix().encode();
        for at in [0, 5, 20, 43, 70, 100, 127] {
            let mut bytes = good;
            bytes[at] ^= 1;
            assert_eq!(TensorMap::decode(&bytes), None, "byte {at}");
        }
        assert_eq!(TensorMap::decode(&[0; TENSOR_MAP_BYTES]), None);
    }

    #[test]
    fn each_rule_of_the_driver_is_checked() {
        let wrong: [fn(&mut TensorMap); 15] = [
            |m| m.rank = 0,
            |m| m.rank = 6,
            |m| m.address = 0,
            |m| m.address += 8,
            |m| m.sizes[1] = 0,
            |m| m.sizes[0] = (1 << 32) + 1,
            |m| m.strides[0] += 8,
            |m| m.strides[0] = 1 << 40,
            |m| m.box_sizes[1] = 257,
            |m| m.box_sizes[1] = 0,
            |m| m.box_sizes[0] = 4,
            |m| m.box_sizes[0] = 72,
            |m| m.element_strides[1] = 9,
            |m| m.data_type = DataType::I32,
            |m| m.interleave = Interleave::B16,
        ];
        for (i, change) in wrong.iter().enumerate() {
            let mut map = matrix();
            change(&mut map);
            assert!(map.validate().is_err(), "rule {i}");
        }
    }

    #[test]
    fn swizzles_permute_sixteen_byte_chunks_by_the_row() {
        // Row 3 of 128-byte rows: chunk c goes to chunk c ^ 3.
        for chunk in 0..8 {
            assert_eq!(Swizzle::B128.apply(3 * 128 + chunk * 16 + 5), 3 * 128 + (chunk ^ 3) * 16 + 5);
        }
        // 64-byte rows: two rows share a 128-byte line, so the chunk changes every second row.
        assert_eq!(Swizzle::B64.apply(2 * 64 + 16), 2 * 64);
        assert_eq!(Swizzle::B64.apply(64 + 16), 64 + 16);
        // 32-byte rows: every fourth row.
        assert_eq!(Swizzle::B32.apply(4 * 32), 4 * 32 + 16);
        assert_eq!(Swizzle::B32.apply(3 * 32), 3 * 32);
        assert_eq!(Swizzle::None.apply(1234), 1234);
    }
}
