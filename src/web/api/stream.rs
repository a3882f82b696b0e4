//! What live views share: each listener reads the database for itself at a steady pace and is told what is news, so
//! any number of server processes will do. It ends with the listener, with the server, or when all is told.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use crate::store::StoreError;
use crate::web::Shutdown;

/// Something that is looked at again and again for one listener.
pub(super) trait Follow: Send + 'static {
    /// The pace.
    const EVERY: Duration;

    /// What is looked at, for the log.
    fn id(&self) -> Uuid;

    /// Tells what is news. `true`: there will be none any more.
    fn look(&mut self, to: &Listener) -> impl Future<Output = Result<bool, End>> + Send;
}

/// Why a live view ends early.
pub(super) enum End {
    /// Nobody listens any more.
    Gone,
    /// It cannot be looked at; the listener connects anew.
    Broken(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

/// Whoever listens.
pub(super) struct Listener(mpsc::Sender<Event>);

impl Listener {
    /// Sends an event, with an id that a listener who connects anew says.
    pub(super) async fn tell(
        &self,
        name: &str,
        id: Option<String>,
        data: &impl Serialize,
    ) -> Result<(), End> {
        let event = Event::default().event(name).json_data(data).map_err(|error| {
            tracing::error!(%error, "an event could not be written");
            End::Gone
        })?;
        let event = if let Some(id) = id { event.id(id) } else { event };
        self.0.send(event).await.map_err(|_| End::Gone)
    }
}

/// Looks at once and then every [`Follow::EVERY`]; answers with what is told.
pub(super) fn follow(what: impl Follow, shutdown: Option<Shutdown>) -> Response {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(run(what, Listener(sender), shutdown));
    Sse::new(ReceiverStream::new(receiver).map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::default())
        .into_response()
}

async fn run<F: Follow>(mut what: F, to: Listener, shutdown: Option<Shutdown>) {
    let mut tick = tokio::time::interval(F::EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let down = until_down(shutdown);
    tokio::pin!(down);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = to.0.closed() => return,
            () = &mut down => return,
        }
        match what.look(&to).await {
            Ok(false) => {}
            Ok(true) | Err(End::Gone) => return,
            Err(End::Broken(error)) => {
                tracing::warn!(of = %what.id(), %error, "live view broke off");
                return;
            }
        }
    }
}

/// Resolves when the server wants to stop.
async fn until_down(shutdown: Option<Shutdown>) {
    match shutdown {
        Some(Shutdown(mut down)) => drop(down.wait_for(|down| *down).await),
        None => std::future::pending().await,
    }
}
