//! Reading a checkpoint from a directory or from memory, and writing one.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::tensor::{Metadata, SafeTensors, TensorInfo};

use super::{Checkpoint, Dtype, Tensor, header};
use crate::config::Config;
use crate::error::{Error, Result, one_line};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

impl Checkpoint {
    /// Opens a checkpoint directory: `config.json` and `model.safetensors`. The weights are mapped, not read; every
    /// value is looked at once, to refuse NaN and infinities. The file must not be changed while it is in use.
    ///
    /// # Errors
    /// One line that names the file and the key or tensor that is wrong.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let kind = std::fs::metadata(dir).map_err(|e| Error::io(dir, e))?;
        if !kind.is_dir() {
            return Err(Error::Checkpoint(format!(
                "{} is not a directory; name the one that holds {CONFIG} and {WEIGHTS}",
                dir.display()
            )));
        }
        let config = Config::from_file(&dir.join(CONFIG))?;
        let path = dir.join(WEIGHTS);
        let kind = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?;
        if !kind.is_file() {
            return Err(Error::Checkpoint(format!("{} is not a regular file", path.display())));
        }
        let named = |message: String| Error::Checkpoint(format!("{}: {message}", path.display()));
        if kind.len() == 0 {
            return Err(named("the file is empty".into()));
        }
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        // SAFETY: the map is only read. As with every mapped file, changing the file under it is outside of what
        // this process can rule out; the documentation asks for it not to be done, and `save` replaces whole files.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(&path, e))?;
        Self::parse(config, Arc::new(map)).map_err(|e| match e {
            Error::Checkpoint(message) => named(message),
            other => other,
        })
    }

    /// Reads a checkpoint from memory: the text of `config.json` and the bytes of `model.safetensors`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(config_json: &str, safetensors: Vec<u8>) -> Result<Self> {
        Self::parse(Config::from_json(config_json)?, Arc::new(safetensors))
    }

    fn parse(config: Config, file: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Result<Self> {
        let bytes: &[u8] = file.as_ref().as_ref();
        header::check(bytes).map_err(Error::Checkpoint)?;
        let parsed =
            SafeTensors::deserialize(bytes).map_err(|e| Error::Checkpoint(one_line(&e.to_string())))?;
        let mut tensors = Vec::with_capacity(parsed.len());
        for (name, view) in parsed.iter() {
            let dtype = match view.dtype() {
                safetensors::Dtype::F32 => Dtype::F32,
                safetensors::Dtype::BF16 => Dtype::Bf16,
                safetensors::Dtype::F16 => Dtype::F16,
                other => {
                    return Err(Error::Checkpoint(format!("tensor {} has dtype {other:?}", one_line(name))));
                }
            };
            let start = view.data().as_ptr().addr() - bytes.as_ptr().addr();
            tensors.push(Tensor::view(name, dtype, view.shape(), &file, start, view.data().len())?);
        }
        Self::from_tensors(config, tensors)
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, which is made if need be. Files of those names are
    /// replaced whole, so a checkpoint may be saved over the one it was opened from.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<()> {
        let dir = dir.as_ref();
        std::fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        replace(&dir.join(CONFIG), |out| {
            out.write_all(self.config().to_json().as_bytes())?;
            out.write_all(b"\n")
        })?;

        let mut end = 0;
        let infos = self.tensors().map(|tensor| {
            let start = end;
            end += tensor.bytes().len();
            let dtype = match tensor.dtype() {
                Dtype::F32 => safetensors::Dtype::F32,
                Dtype::Bf16 => safetensors::Dtype::BF16,
                Dtype::F16 => safetensors::Dtype::F16,
            };
            let info = TensorInfo { dtype, shape: tensor.shape().to_vec(), data_offsets: (start, end) };
            (tensor.name().to_string(), info)
        });
        let metadata = Metadata::new(None, infos.collect())
            .and_then(|m| Ok(serde_json::to_string(&m)?))
            .map_err(|e| Error::Checkpoint(one_line(&e.to_string())))?;
        // Spaces up to a cache line, so that the first tensor is aligned as its own allocation would be.
        let padded = (metadata.len() + 8).next_multiple_of(64) - 8;
        replace(&dir.join(WEIGHTS), |out| {
            out.write_all(&(padded as u64).to_le_bytes())?;
            write!(out, "{metadata:padded$}")?;
            self.tensors().try_for_each(|tensor| out.write_all(tensor.bytes()))
        })
    }
}

/// Writes a file beside `path` and moves it there.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    let attempt = || {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(new)?);
        write(&mut out)?;
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(new, path)
    };
    attempt().map_err(|e| {
        let _ = std::fs::remove_file(new);
        Error::io(path, e)
    })
}
