//! `tamis doctor`.

use crate::config::Config;
use crate::native::{Native, NativeSettings};

pub(super) async fn run(config: &Config, json: bool) -> anyhow::Result<()> {
    let native = Native::resolve(&NativeSettings::from(&config.native));
    let checks = crate::native::doctor::doctor(&native, config.database_url.expose(), &config.state).await;
    if json {
        say!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        for c in &checks {
            let mark = match (c.ok, c.required) {
                (true, _) => "ok     ",
                (false, true) => "MISSING",
                (false, false) => "without",
            };
            let path = c.path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
            say!("{mark} {:26} {:12} {path}", c.part, c.version.as_deref().unwrap_or(""));
            if !c.note.is_empty() {
                say!("        {}", c.note);
            }
        }
    }
    anyhow::ensure!(checks.iter().all(|c| c.ok || !c.required), "a required part does not work");
    Ok(())
}
