//! What a safetensors header must hold before anything trusts it.
//!
//! The `safetensors` crate refuses a damaged header too, but without a name; and it lets the last of two entries
//! with one name win. So the header is looked through here first, with messages that name the tensor.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::one_line;

/// Longest header that is read: beyond what any configuration's tensors can fill, and small enough to parse freely.
const LONGEST: u64 = 16 << 20;

/// One tensor as the header describes it.
#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The tensors of a header in the order of the text, duplicates included.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map from names to tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        all.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(all))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Checks the header of a whole safetensors file against the file's length.
///
/// # Errors
/// One line that names what is wrong.
pub(super) fn check(file: &[u8]) -> Result<(), String> {
    if file.is_empty() {
        return Err("the file is empty".into());
    }
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(format!("the file has {} bytes; a safetensors header alone takes more", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > rest.len() as u64 {
        return Err(format!(
            "the header claims {length} bytes, but only {} follow: the file is truncated or not safetensors",
            rest.len()
        ));
    }
    if length > LONGEST {
        return Err(format!("the header claims {length} bytes; at most {LONGEST} are read"));
    }
    let (header, data) = rest.split_at(length as usize);
    let header = std::str::from_utf8(header)
        .map_err(|e| format!("the header is not UTF-8 text: {e}; is this a safetensors file?"))?;
    let mut json = serde_json::Deserializer::from_str(header);
    let invalid =
        |e: &dyn std::fmt::Display| format!("the header is not valid: {}", one_line(&e.to_string()));
    let Entries(mut entries) = serde_path_to_error::deserialize(&mut json).map_err(|e| invalid(&e))?;
    json.end().map_err(|e| invalid(&e))?;

    let mut names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("tensor {} is in the header twice", one_line(pair[0])));
    }
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    check_places(&entries, data.len() as u64)
}

/// Sizes match shapes, and the tensors cover the data without overlap or hole. `entries` are sorted by offset.
fn check_places(entries: &[(String, Entry)], data: u64) -> Result<(), String> {
    let mut covered = 0;
    let mut before = "";
    for (raw, entry) in entries {
        let name = one_line(raw);
        let (start, end) = entry.data_offsets;
        let size = match entry.dtype.as_str() {
            "F32" => 4,
            "BF16" | "F16" => 2,
            other => {
                let other = one_line(other);
                return Err(format!("tensor {name} has dtype {other}; only F32, BF16 and F16 are read"));
            }
        };
        let bytes = entry.shape.iter().try_fold(size, |n: u64, &size| n.checked_mul(size));
        let shape = || one_line(&format!("{:?}", entry.shape));
        let Some(bytes) = bytes else {
            return Err(format!("tensor {name} of shape {} is too large to be real", shape()));
        };
        if end < start || end - start != bytes {
            return Err(format!(
                "tensor {name}: {} of shape {} takes {bytes} bytes, but its data_offsets are [{start}, {end}]",
                entry.dtype,
                shape()
            ));
        }
        if end > data {
            return Err(format!(
                "tensor {name} ends at byte {end} of the data, but the file holds {data}: it is truncated"
            ));
        }
        if start < covered {
            return Err(format!(
                "tensors {} and {name} overlap at byte {start} of the data",
                one_line(before)
            ));
        }
        if start > covered {
            return Err(format!(
                "bytes {covered}..{start} of the data, before tensor {name}, belong to no tensor"
            ));
        }
        covered = end;
        before = raw;
    }
    if covered < data {
        return Err(format!("{} bytes follow the last tensor", data - covered));
    }
    Ok(())
}
