//! Every setting, in one place: defaults from `config.default.toml` (compiled in, the manual) <
//! the file named by `TAMIS_CONFIG` < environment < command line. Validated whole at start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// `TAMIS_` variables that are read elsewhere: by this loader, the log, the command line's language,
/// and `native`, which knows its parts under short names too.
const OUTSIDE: &[&str] =
    &["config", "log", "lang", "native_dir", "onnxruntime", "postgres_bin", "ffmpeg", "shared_data"];

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub state: PathBuf,
    pub database_url: Secret,
    pub blob_url: String,
    pub server: Server,
    pub worker: Worker,
    pub import: Import,
    pub media: Media,
    pub encode: Encode,
    pub scan: Scan,
    pub train: Train,
    pub webhooks: Webhooks,
    pub oidc: Oidc,
    pub review: Review,
    pub native: Native,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub bind: SocketAddr,
    pub allow_remote: bool,
    pub max_upload_bytes: usize,
    pub import_roots: Vec<PathBuf>,
    pub public_url: String,
    pub session_hours: u32,
    pub requests_per_minute: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    pub concurrency: usize,
    pub recovery_ms: u64,
    pub max_starts: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    pub batch_rows: usize,
    pub max_errors_kept: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    pub wall_seconds: u64,
    pub cpu_seconds: u64,
    pub memory_mib: u64,
    pub batch: usize,
    pub parallel: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encode {
    pub image: String,
    pub text: String,
    pub provider: String,
    pub intra_threads: usize,
    pub tfidf_dimension: usize,
    pub rows_per_file: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    pub folds: usize,
    pub neighbours: usize,
    pub seed: u64,
    pub c_grid: Vec<f32>,
    pub meta_batch: usize,
    pub audit_share: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    pub memory_mib: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    pub enabled: bool,
    pub allow_private: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oidc {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub label: String,
    pub create_accounts: bool,
}

impl Oidc {
    pub fn enabled(&self) -> bool {
        !self.issuer.is_empty()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    pub lease_minutes: i32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Native {
    pub dir: PathBuf,
    pub onnxruntime: PathBuf,
    pub postgres_bin: PathBuf,
    pub ffmpeg: PathBuf,
}

/// A value that does not show itself in logs.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// `None` when empty.
    pub fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "(empty)" } else { "(secret)" })
    }
}

/// What the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub state: Option<PathBuf>,
    pub bind: Option<SocketAddr>,
    pub allow_remote: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    // not `from`: the cause says the same words, and would be printed a second time
    #[error("configuration: {0}")]
    Read(Box<figment::Error>),
    #[error("configuration: {key} {rule}")]
    Invalid { key: &'static str, rule: String },
}

impl Config {
    /// Reads defaults, file and environment; what the command line says wins.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Ok(file) = std::env::var("TAMIS_CONFIG") {
            figment = figment.merge(Toml::file_exact(file));
        }
        figment = figment.merge(
            Env::prefixed("TAMIS_")
                .filter(|k| !OUTSIDE.contains(&k.as_str().to_ascii_lowercase().as_str()))
                .split("__"),
        );
        figment = figment.merge(Env::raw().only(&["DATABASE_URL"]));
        Self::from_figment(figment, overrides)
    }

    /// The compiled-in defaults alone, for tests and tools that must not depend on the environment.
    pub fn defaults(state: &Path) -> Result<Self, ConfigError> {
        Self::from_figment(
            Figment::from(Toml::string(DEFAULTS)),
            &Overrides { state: Some(state.to_owned()), ..Default::default() },
        )
    }

    fn from_figment(figment: Figment, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut config: Self = figment.extract().map_err(|e| ConfigError::Read(Box::new(e)))?;
        if let Some(state) = &overrides.state {
            config.state.clone_from(state);
        }
        if config.state.as_os_str().is_empty() {
            config.state = default_state();
        }
        if !config.state.is_absolute() {
            config.state = std::env::current_dir()
                .map_err(|e| ConfigError::Invalid { key: "state", rule: e.to_string() })?
                .join(&config.state);
        }
        if let Some(bind) = overrides.bind {
            config.server.bind = bind;
        }
        config.server.allow_remote |= overrides.allow_remote;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let at_least = |key, value: usize, least: usize| {
            if value >= least {
                Ok(())
            } else {
                Err(ConfigError::Invalid { key, rule: format!("must be at least {least}, is {value}") })
            }
        };
        at_least("worker.concurrency", self.worker.concurrency, 1)?;
        at_least("worker.max_starts", usize::try_from(self.worker.max_starts).unwrap_or(0), 1)?;
        at_least("worker.recovery_ms", usize::try_from(self.worker.recovery_ms).unwrap_or(usize::MAX), 1000)?;
        at_least("import.batch_rows", self.import.batch_rows, 1)?;
        at_least("media.batch", self.media.batch, 1)?;
        at_least("media.wall_seconds", usize::try_from(self.media.wall_seconds).unwrap_or(usize::MAX), 1)?;
        at_least("encode.intra_threads", self.encode.intra_threads, 1)?;
        at_least("encode.tfidf_dimension", self.encode.tfidf_dimension, 16)?;
        at_least("encode.rows_per_file", self.encode.rows_per_file, 1)?;
        at_least("server.session_hours", usize::try_from(self.server.session_hours).unwrap_or(0), 1)?;
        let url = &self.server.public_url;
        if !(url.is_empty() || url.starts_with("https://") || url.starts_with("http://"))
            || url.ends_with('/')
        {
            return Err(ConfigError::Invalid {
                key: "server.public_url",
                rule: format!("is {url:?}; it begins with https:// or http:// and has no slash at its end"),
            });
        }
        let issuer = &self.oidc.issuer;
        if self.oidc.enabled() && !(issuer.starts_with("https://") || issuer.starts_with("http://")) {
            return Err(ConfigError::Invalid {
                key: "oidc.issuer",
                rule: format!("is {issuer:?}; it begins with https:// (or http:// for one on this machine)"),
            });
        }
        if self.oidc.enabled() && self.oidc.client_id.is_empty() {
            return Err(ConfigError::Invalid { key: "oidc.client_id", rule: "is empty".into() });
        }
        at_least("review.lease_minutes", usize::try_from(self.review.lease_minutes).unwrap_or(0), 1)?;
        at_least("scan.folds", self.scan.folds, 2)?;
        at_least("scan.neighbours", self.scan.neighbours, 1)?;
        if !["cpu", "cuda", "tensorrt"].contains(&self.encode.provider.as_str()) {
            return Err(ConfigError::Invalid {
                key: "encode.provider",
                rule: format!("is {:?}; one of cpu, cuda, tensorrt", self.encode.provider),
            });
        }
        at_least("scan.meta_batch", self.scan.meta_batch, 1)?;
        if !(0.0..=0.5).contains(&self.scan.audit_share) {
            return Err(ConfigError::Invalid {
                key: "scan.audit_share",
                rule: format!("must lie in [0, 0.5], is {}", self.scan.audit_share),
            });
        }
        if self.scan.c_grid.is_empty() || self.scan.c_grid.iter().any(|c| !c.is_finite() || *c <= 0.0) {
            return Err(ConfigError::Invalid {
                key: "scan.c_grid",
                rule: "must be a non-empty list of positive numbers".into(),
            });
        }
        if !self.server.bind.ip().is_loopback() && !self.server.allow_remote {
            return Err(ConfigError::Invalid {
                key: "server.bind",
                rule: format!(
                    "is {}: other than loopback addresses are served only when server.allow_remote \
                     (--allow-remote) says so; then everybody has to sign in",
                    self.server.bind
                ),
            });
        }
        Ok(())
    }
}

/// `/var/lib/tamis` for root, else the platform's user data folder.
fn default_state() -> PathBuf {
    // SAFETY: geteuid has no preconditions and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return PathBuf::from("/var/lib/tamis");
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    if cfg!(target_os = "macos") {
        return home.join("Library/Application Support/tamis");
    }
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .unwrap_or_else(|| home.join(".local/share"))
        .join("tamis")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(toml: &str) -> Result<Config, ConfigError> {
        let f = Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(toml));
        Config::from_figment(f, &Overrides { state: Some("/s".into()), ..Default::default() })
    }

    #[test]
    fn defaults_are_valid() {
        let c = Config::defaults(Path::new("/s")).unwrap();
        assert_eq!(c.state, Path::new("/s"));
        assert!(c.server.bind.ip().is_loopback());
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let say = |t: &str| with(t).unwrap_err().to_string();
        assert!(say("[worker]\nconcurrency = 0").contains("worker.concurrency"));
        assert!(say("[worker]\nconcurency = 1").contains("concurency"));
        assert!(say("[server]\nbind = \"0.0.0.0:80\"").contains("allow_remote"));
        assert!(say("[oidc]\nissuer = \"login.example.org\"").contains("oidc.issuer"));
        assert!(say("[oidc]\nissuer = \"https://login.example.org\"").contains("oidc.client_id"));
        assert!(say("[scan]\nc_grid = []").contains("scan.c_grid"));
        assert!(say("[scan]\naudit_share = 0.9").contains("scan.audit_share"));
        assert!(with("[server]\nbind = \"0.0.0.0:80\"\nallow_remote = true").is_ok());
    }

    #[test]
    fn secrets_do_not_show() {
        let c = with("database_url = \"postgres://u:hunter2@h/d\"").unwrap();
        assert!(!format!("{c:?}").contains("hunter2"));
        let c = with("[oidc]\nclient_secret = \"hunter3\"").unwrap();
        assert!(!format!("{c:?}").contains("hunter3"));
    }
}
