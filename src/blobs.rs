//! Bytes by name: a local folder by default, S3 by URL (feature `s3`). Media are addressed by
//! content (`media/ab/abcdef…`), arrays by what made them; nothing is ever overwritten with other bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("blob store: {0}")]
    Store(#[from] object_store::Error),
    #[error("blob store: {0}")]
    Io(#[from] std::io::Error),
    #[error("blob store: bad name {0:?}")]
    Name(String),
    #[error("blob store {url:?}: {reason}")]
    Url { url: String, reason: String },
}

/// A handle, cheap to clone.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    local: Option<PathBuf>,
}

impl Blobs {
    /// `url` empty: the folder `dir` (created). Otherwise `s3://bucket/prefix` (feature `s3`;
    /// credentials from the usual AWS_ variables).
    pub fn open(url: &str, dir: &Path) -> Result<Self, BlobError> {
        if url.is_empty() {
            std::fs::create_dir_all(dir)?;
            let store = LocalFileSystem::new_with_prefix(dir)?;
            return Ok(Self { store: Arc::new(store), local: Some(dir.to_owned()) });
        }
        Self::open_remote(url)
    }

    #[cfg(feature = "s3")]
    fn open_remote(url: &str) -> Result<Self, BlobError> {
        let fail = |reason: String| BlobError::Url { url: url.to_owned(), reason };
        let rest = url.strip_prefix("s3://").ok_or_else(|| fail("only s3:// is known".into()))?;
        let (_, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let s3 = object_store::aws::AmazonS3Builder::from_env().with_url(url).build()?;
        Ok(Self { store: Arc::new(object_store::prefix::PrefixStore::new(s3, prefix)), local: None })
    }

    #[cfg(not(feature = "s3"))]
    fn open_remote(url: &str) -> Result<Self, BlobError> {
        Err(BlobError::Url { url: url.to_owned(), reason: "this build has no feature `s3`".into() })
    }

    fn key(name: &str) -> Result<Key, BlobError> {
        Key::parse(name).map_err(|_| BlobError::Name(name.to_owned()))
    }

    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BlobError> {
        self.store.put(&Self::key(name)?, PutPayload::from(bytes)).await?;
        Ok(())
    }

    /// Streams a local file in; memory stays at a few MiB.
    pub async fn put_file(&self, name: &str, file: &Path) -> Result<(), BlobError> {
        let key = Self::key(name)?;
        let mut source = tokio::fs::File::open(file).await?;
        let upload = self.store.put_multipart(&key).await?;
        let mut write = WriteMultipart::new_with_chunk_size(upload, 5 << 20);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = source.read(&mut buffer).await?;
            if n == 0 {
                break;
            }
            write.wait_for_capacity(4).await?;
            write.write(&buffer[..n]);
        }
        write.finish().await?;
        Ok(())
    }

    /// Stores a media file under the hash of its content; returns `(name, bytes)`. A file that is
    /// there already is not copied again. Reads the file twice at most.
    pub async fn put_content(&self, file: &Path) -> Result<(String, u64), BlobError> {
        let path = file.to_owned();
        let (hash, size) =
            tokio::task::spawn_blocking(move || hash_file(&path)).await.map_err(std::io::Error::other)??;
        let name = format!("media/{}/{hash}", &hash[..2]);
        if !self.exists(&name).await? {
            self.put_file(&name, file).await?;
        }
        Ok((name, size))
    }

    pub async fn exists(&self, name: &str) -> Result<bool, BlobError> {
        Ok(self.size(name).await?.is_some())
    }

    /// Size in bytes; `None` when there is no such blob.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, BlobError> {
        match self.store.head(&Self::key(name)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub async fn get(&self, name: &str) -> Result<Vec<u8>, BlobError> {
        Ok(self.store.get(&Self::key(name)?).await?.bytes().await?.to_vec())
    }

    /// Removes a blob; one that is not there is none the less gone.
    pub async fn delete(&self, name: &str) -> Result<(), BlobError> {
        match self.store.delete(&Self::key(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Bytes `from..to` as a stream, for byte-range requests.
    pub async fn stream(
        &self,
        name: &str,
        range: std::ops::Range<u64>,
    ) -> Result<futures::stream::BoxStream<'static, Result<bytes::Bytes, object_store::Error>>, BlobError>
    {
        let options = object_store::GetOptions {
            range: Some(object_store::GetRange::Bounded(range)),
            ..Default::default()
        };
        Ok(self.store.get_opts(&Self::key(name)?, options).await?.into_stream())
    }

    /// A path that an outside program can read: the blob itself when it is local, else a copy in `scratch`.
    pub async fn local_copy(&self, name: &str, scratch: &Path) -> Result<PathBuf, BlobError> {
        let key = Self::key(name)?;
        if let Some(dir) = &self.local {
            return Ok(dir.join(key.as_ref()));
        }
        use futures::StreamExt;
        use tokio::io::AsyncWriteExt;
        let target = scratch.join(name.replace('/', "_"));
        let mut stream = self.store.get(&key).await?.into_stream();
        let mut out = tokio::fs::File::create(&target).await?;
        while let Some(chunk) = stream.next().await {
            out.write_all(&chunk?).await?;
        }
        out.flush().await?;
        Ok(target)
    }
}

fn hash_file(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let size = std::io::copy(&mut file, &mut hasher)?;
    Ok((hex::encode(hasher.finalize()), size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[tokio::test]
    async fn content_names_the_blob_and_ranges_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open("", &dir.path().join("blobs")).unwrap();
        let file = dir.path().join("a.bin");
        std::fs::write(&file, b"0123456789").unwrap();
        let (name, size) = blobs.put_content(&file).await.unwrap();
        // sha256 of "0123456789", from coreutils
        assert_eq!(name, "media/84/84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882");
        assert_eq!(size, 10);
        assert_eq!(blobs.put_content(&file).await.unwrap().0, name);
        let mut part = blobs.stream(&name, 2..5).await.unwrap();
        assert_eq!(&part.next().await.unwrap().unwrap()[..], b"234");
        assert_eq!(blobs.size("media/none").await.unwrap(), None);
        assert!(blobs.get("../x").await.is_err());
    }

    #[test]
    fn unknown_urls_are_refused() {
        assert!(Blobs::open("ftp://x", Path::new("/nonexistent")).is_err());
    }
}
