//! Precomputed frame features: a zip of `{id}.npy` members, float16 or float32 `[n_frames, dim]`.
//!
//! The preliminary-round format of the WeChat challenge; stands in for media. Members are read one at
//! a time into bounded memory and never written to disk, so a zip bomb or a path in a name does nothing.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::error::shown;
use super::npy::{self, NpyError};

/// What a member and an archive may cost. Checked on what really comes out, not on what headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureLimits {
    /// Bytes of one array.
    pub entry_bytes: usize,
    /// Unpacked bytes for each packed byte, of a member larger than a megabyte.
    pub ratio: u64,
    /// Members of the archive.
    pub entries: usize,
    /// Frames of one sample.
    pub frames: usize,
    /// Length of one vector.
    pub dim: usize,
}

impl Default for FeatureLimits {
    fn default() -> Self {
        Self { entry_bytes: 16 << 20, ratio: 200, entries: 4_000_000, frames: 255, dim: 8_192 }
    }
}

/// Unpacked size below which the ratio does not matter: constant features pack well and hurt nobody.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Frame features of one sample; `values` is row-major `[n_frames, dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameFeatures {
    pub n_frames: usize,
    pub dim: usize,
    pub values: Vec<f32>,
}

#[derive(Debug, thiserror::Error)]
pub enum FeatureError {
    #[error("the zip archive is damaged or of a kind that is not read: {0}")]
    BadZip(#[from] ZipError),
    #[error("the archive has {found} members; {limit} at most")]
    TooManyEntries { found: usize, limit: usize },
    #[error("members {0} and {1} are for the same sample")]
    Duplicate(String, String),
    #[error("the archive holds no .npy members")]
    NoFeatures,
    #[error("member {name}: {source}")]
    BadArray { name: String, source: NpyError },
    #[error("member {name} unpacks to more than {ratio} times its packed size")]
    Bomb { name: String, ratio: u64 },
    #[error(
        "member {name} has shape {shape:?}; [n_frames, dim] with 1 to {frames} frames and a dim of 1 to {dim} needed"
    )]
    BadShape { name: String, shape: Vec<usize>, frames: usize, dim: usize },
    #[error("member {name} has dim {found}; the members before have {expected}")]
    OtherDim { name: String, found: usize, expected: usize },
    #[error("member {name} holds a value that is no number (NaN or infinite)")]
    NotFinite { name: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FeatureError {
    /// Every code of [`Self::code`].
    pub const CODES: [&str; 10] = [
        "features_bad_zip",
        "features_too_many_entries",
        "features_duplicate",
        "features_none",
        "features_bad_array",
        "features_bomb",
        "features_bad_shape",
        "features_other_dim",
        "features_not_finite",
        "read_failed",
    ];

    /// Stable code, the key into the message catalogue.
    pub fn code(&self) -> &'static str {
        Self::CODES[match self {
            Self::BadZip(_) => 0,
            Self::TooManyEntries { .. } => 1,
            Self::Duplicate(..) => 2,
            Self::NoFeatures => 3,
            Self::BadArray { .. } => 4,
            Self::Bomb { .. } => 5,
            Self::BadShape { .. } => 6,
            Self::OtherDim { .. } => 7,
            Self::NotFinite { .. } => 8,
            Self::Io(_) => 9,
        }]
    }
}

/// An opened archive. Holds the directory (about 300 bytes a member) and one member at a time.
#[derive(Debug)]
pub struct Features {
    zip: ZipArchive<BufReader<File>>,
    /// Sample id -> member; in archive order in `ids`.
    index: HashMap<String, usize>,
    ids: Vec<String>,
    ignored: Vec<String>,
    dim: Option<usize>,
    limits: FeatureLimits,
}

impl Features {
    /// Opens an archive with the default limits.
    ///
    /// # Errors
    /// Not a zip, too many members, two members for one sample, or no `.npy` at all.
    pub fn open(path: &Path) -> Result<Self, FeatureError> {
        Self::open_with(path, FeatureLimits::default())
    }

    pub fn open_with(path: &Path, limits: FeatureLimits) -> Result<Self, FeatureError> {
        let zip = ZipArchive::new(BufReader::new(File::open(path)?))?;
        if zip.len() > limits.entries {
            return Err(FeatureError::TooManyEntries { found: zip.len(), limit: limits.entries });
        }
        // The zip crate keeps the last of two members with one name; the directory itself tells.
        let start = zip.central_directory_start();
        if let Some(name) = repeated_name(File::open(path)?, start, limits.entries)? {
            return Err(FeatureError::Duplicate(shown(&name), shown(&name)));
        }
        let (mut index, mut ids, mut ignored) = (HashMap::new(), Vec::new(), Vec::new());
        for i in 0..zip.len() {
            let name = zip.name_for_index(i).unwrap_or_default();
            let Some(id) = sample_id(name) else {
                if !name.ends_with('/') {
                    ignored.push(name.to_owned());
                }
                continue;
            };
            match index.entry(id.to_owned()) {
                Entry::Occupied(first) => {
                    let first = zip.name_for_index(*first.get()).unwrap_or_default();
                    return Err(FeatureError::Duplicate(shown(first), shown(name)));
                }
                Entry::Vacant(slot) => {
                    ids.push(id.to_owned());
                    slot.insert(i);
                }
            }
        }
        if ids.is_empty() {
            return Err(FeatureError::NoFeatures);
        }
        Ok(Self { zip, index, ids, ignored, dim: None, limits })
    }

    /// Ids of the samples in archive order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Members that were passed over: no `.npy`, hidden, or with a name that climbs out of a folder.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Vector length, known once a member was read.
    pub fn dim(&self) -> Option<usize> {
        self.dim
    }

    /// The features of one sample; `None` when the archive has none.
    ///
    /// # Errors
    /// What is wrong with this member; others stay readable.
    pub fn get(&mut self, id: &str) -> Result<Option<FrameFeatures>, FeatureError> {
        self.index.get(id).copied().map(|i| self.read(i)).transpose()
    }

    /// All samples in archive order, each with its own result.
    pub fn iter(&mut self) -> impl Iterator<Item = (String, Result<FrameFeatures, FeatureError>)> + '_ {
        (0..self.ids.len()).map(|i| {
            let id = self.ids[i].clone();
            let features = self.read(self.index[&id]);
            (id, features)
        })
    }

    fn read(&mut self, entry: usize) -> Result<FrameFeatures, FeatureError> {
        let limits = self.limits;
        let member = self.zip.by_index(entry)?;
        let name = shown(member.name());
        let allowed = member.compressed_size().saturating_mul(limits.ratio).max(RATIO_FREE_BYTES);
        let mut counted = Counted { inner: member, left: allowed };
        let (shape, values) = match npy::read_f32(&mut counted, limits.entry_bytes) {
            Ok(array) => array,
            Err(_) if counted.left == 0 => return Err(FeatureError::Bomb { name, ratio: limits.ratio }),
            Err(source) => return Err(FeatureError::BadArray { name, source }),
        };
        let (n_frames, dim) = match shape[..] {
            [n, d] if (1..=limits.frames).contains(&n) && (1..=limits.dim).contains(&d) => (n, d),
            _ => {
                let (frames, dim) = (limits.frames, limits.dim);
                return Err(FeatureError::BadShape { name, shape, frames, dim });
            }
        };
        let expected = *self.dim.get_or_insert(dim);
        if dim != expected {
            return Err(FeatureError::OtherDim { name, found: dim, expected });
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(FeatureError::NotFinite { name });
        }
        Ok(FrameFeatures { n_frames, dim, values })
    }
}

/// Reads on until the allowance is used up, then pretends the end.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

/// `folder/{id}.npy` -> id. `None` for other files, hidden ones and names that climb or are absolute.
fn sample_id(name: &str) -> Option<&str> {
    let mut parts = name.split('/');
    let last = parts.next_back()?;
    let plain =
        |p: &str| !p.is_empty() && !p.starts_with('.') && p != "__MACOSX" && !p.contains(['\\', '\0', ':']);
    let id = last.strip_suffix(".npy")?;
    (plain(last) && !id.is_empty() && parts.all(plain)).then_some(id)
}

/// First name that the central directory has twice. Stops at anything that is no directory entry.
fn repeated_name(file: File, start: u64, most: usize) -> io::Result<Option<String>> {
    let mut source = BufReader::new(file);
    source.seek(SeekFrom::Start(start))?;
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let mut head = [0u8; 46];
    while seen.len() <= most {
        match source.read_exact(&mut head) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            other => other?,
        }
        if head[..4] != *b"PK\x01\x02" {
            break;
        }
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let mut name = vec![0; usize::from(short(28))];
        source.read_exact(&mut name)?;
        source.seek_relative(i64::from(short(30)) + i64::from(short(32)))?;
        if seen.contains(&name) {
            return Ok(Some(String::from_utf8_lossy(&name).into_owned()));
        }
        seen.insert(name);
    }
    Ok(None)
}
