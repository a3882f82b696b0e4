//! ONNX Runtime, loaded from a shared library at run time, and pools of sessions over it.
//! One thread a session by default and no spinning: on a shared machine several sessions with one
//! thread each are faster than one session with two.

use std::{
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use ort::{
    environment::Environment,
    ep::{CUDA, ExecutionProviderDispatch, TensorRT},
    session::{Session, builder::GraphOptimizationLevel},
};

use super::{EncodeError, Result};

/// Where a model runs. The CPU is always there as the last resort for single operators.
///
/// CUDA and TensorRT need a build of the ONNX Runtime library that has them, and NVIDIA's own
/// libraries; asking for one that is missing is an error, not a silent fall back to the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Cpu,
    Cuda,
    TensorRt,
}

impl Provider {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Cpu, Self::Cuda, Self::TensorRt].into_iter().find(|p| p.as_str() == s)
    }

    fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        match self {
            Self::Cpu => None,
            Self::Cuda => Some(CUDA::default().build().error_on_failure()),
            Self::TensorRt => Some(TensorRT::default().build().error_on_failure()),
        }
    }
}

/// A loaded ONNX Runtime with the settings of its sessions. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    dylib: PathBuf,
    environment: Environment,
    intra_threads: usize,
    providers: Vec<Provider>,
}

/// ONNX Runtime allows one environment a process, and a library cannot be unloaded.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

impl Runtime {
    /// Loads the shared library (about 0.1 s the first time). A process can load one library; the
    /// same one may be asked for again, with other settings. `intra_threads`: threads inside one
    /// session, at least 1. `providers` in order of preference; empty means the CPU.
    ///
    /// # Errors
    /// [`EncodeError::Runtime`] when the library cannot be loaded, is older than 1.24, or another
    /// one is loaded already.
    pub fn load(dylib: &Path, intra_threads: usize, providers: &[Provider]) -> Result<Self> {
        let refuse = |message: String| EncodeError::Runtime { dylib: dylib.to_path_buf(), message };
        let path = dylib.canonicalize().map_err(|e| refuse(e.to_string()))?;
        let mut loaded = lock(&LOADED);
        let environment = match loaded.as_ref() {
            Some((first, environment)) if *first == path => environment.clone(),
            Some((first, _)) => {
                return Err(refuse(format!("{} is loaded already in this process", first.display())));
            }
            None => {
                let builder = ort::init_from(&path).map_err(|e| refuse(e.to_string()))?;
                let environment = builder.with_name("tamis").build().map_err(|e| refuse(e.to_string()))?;
                *loaded = Some((path.clone(), environment.clone()));
                environment
            }
        };
        drop(loaded);
        let providers = providers.to_vec();
        Ok(Self { dylib: path, environment, intra_threads: intra_threads.max(1), providers })
    }

    pub fn dylib(&self) -> &Path {
        &self.dylib
    }

    /// Items a run. On the CPU more than a few at once gain nothing and cost
    /// memory; accelerators want more.
    pub(crate) fn batch(&self) -> usize {
        if self.providers.iter().all(|p| *p == Provider::Cpu) { 8 } else { 64 }
    }

    /// Builds a session; 0.05 to 1 s, mostly graph optimisation.
    ///
    /// # Errors
    /// [`EncodeError::Provider`] when a wanted provider is not in this library,
    /// [`EncodeError::Model`] when the file is no model it can run.
    pub(crate) fn session(&self, encoder: &str, model: &Path) -> Result<Session> {
        let fail = |message: String| EncodeError::model(encoder, message);
        let mut builder = Session::builder(&self.environment)
            .map_err(|e| fail(e.to_string()))?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(|e| fail(e.to_string()))?
            .with_intra_threads(self.intra_threads)
            .map_err(|e| fail(e.to_string()))?
            .with_inter_threads(1)
            .map_err(|e| fail(e.to_string()))?
            .with_intra_op_spinning(false)
            .map_err(|e| fail(e.to_string()))?
            .with_inter_op_spinning(false)
            .map_err(|e| fail(e.to_string()))?;
        for provider in &self.providers {
            if let Some(dispatch) = provider.dispatch() {
                builder = builder
                    .with_execution_providers([dispatch])
                    .map_err(|e| EncodeError::Provider { name: provider.as_str(), message: e.to_string() })?;
            }
        }
        builder.commit_from_file(model).map_err(|e| fail(e.to_string()))
    }
}

/// Sessions of one model, made when first needed, at most `size`. `Session::run` wants the session
/// for itself, so as many threads work at once as there are sessions; others wait.
pub(crate) struct SessionPool {
    runtime: Runtime,
    encoder: String,
    model: PathBuf,
    size: usize,
    state: Mutex<PoolState>,
    returned: Condvar,
}

struct PoolState {
    idle: Vec<Session>,
    made: usize,
}

impl SessionPool {
    /// Builds the first session, so that a broken model shows at once.
    pub(crate) fn new(runtime: &Runtime, encoder: &str, model: &Path, size: usize) -> Result<Self> {
        let first = runtime.session(encoder, model)?;
        Ok(Self {
            runtime: runtime.clone(),
            encoder: encoder.to_owned(),
            model: model.to_path_buf(),
            size: size.max(1),
            state: Mutex::new(PoolState { idle: vec![first], made: 1 }),
            returned: Condvar::new(),
        })
    }

    /// Runs `work` with a session of its own.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let mut lent = Lent { pool: self, session: Some(self.take()?) };
        // The session is there until `lent` is dropped.
        match lent.session.as_mut() {
            Some(session) => work(session),
            None => Err(EncodeError::model(&self.encoder, "no session")),
        }
    }

    fn take(&self) -> Result<Session> {
        let mut state = lock(&self.state);
        loop {
            if let Some(session) = state.idle.pop() {
                return Ok(session);
            }
            if state.made < self.size {
                state.made += 1;
                drop(state);
                let made = self.runtime.session(&self.encoder, &self.model);
                if made.is_err() {
                    lock(&self.state).made -= 1;
                    self.returned.notify_one();
                }
                return made;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Gives the session back even when the work panics.
struct Lent<'a> {
    pool: &'a SessionPool,
    session: Option<Session>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            lock(&self.pool.state).idle.push(session);
            self.pool.returned.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
