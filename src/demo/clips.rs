//! Draws the clips: a slow pan and zoom over a picture, 320x240 at 12 frames a second, H.264.
//! Several clips a process, because starting ffmpeg costs as much as drawing one of them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{Clip, DemoError, Picture};

const BATCH: usize = 8;
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;

/// Draws every clip that is not there yet into `dir/{id}.mp4`.
pub(super) fn draw(
    ffmpeg: &Path,
    clips: &[Clip],
    dir: &Path,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(), DemoError> {
    let missing: Vec<&Clip> = clips.iter().filter(|c| !dir.join(format!("{}.mp4", c.id)).exists()).collect();
    let done = AtomicUsize::new(clips.len() - missing.len());
    missing.par_chunks(BATCH).try_for_each(|batch| {
        draw_batch(ffmpeg, batch, dir)?;
        progress(done.fetch_add(batch.len(), Ordering::Relaxed) + batch.len(), clips.len());
        Ok(())
    })
}

fn draw_batch(ffmpeg: &Path, batch: &[&Clip], dir: &Path) -> Result<(), DemoError> {
    let mut command = Command::new(ffmpeg);
    command.args(["-v", "error", "-nostdin", "-y"]);
    let mut graph = Vec::new();
    for (i, clip) in batch.iter().enumerate() {
        let seconds = format!("{:.1}", clip.seconds);
        match &clip.picture {
            Picture::File(path) => {
                command.args(["-loop", "1", "-framerate", "12", "-t", &seconds, "-i"]).arg(path);
                graph.push(pan_and_zoom(i, clip));
            }
            Picture::Source(source) => {
                command.args(["-f", "lavfi", "-t", &seconds, "-i", source]);
                graph.push(format!("[{i}:v]format=yuv420p[o{i}]"));
            }
        }
    }
    command.args(["-filter_complex", &graph.join(";")]);
    for (i, clip) in batch.iter().enumerate() {
        command
            .args(["-map", &format!("[o{i}]"), "-t", &format!("{:.1}", clip.seconds), "-an"])
            .args(["-c:v", "libx264", "-preset", "ultrafast", "-crf", "24", "-threads", "1"])
            .args(["-movflags", "+faststart", "-f", "mp4"])
            .arg(dir.join(format!("{}.part", clip.id)));
    }
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if !output.status.success() {
        return Err(DemoError::Draw {
            clip: batch.iter().map(|c| c.id.as_str()).collect::<Vec<_>>().join(", "),
            why: String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join(" | "),
        });
    }
    for clip in batch {
        // by rename, so that an interrupted run leaves no half clip under its final name
        std::fs::rename(dir.join(format!("{}.part", clip.id)), dir.join(format!("{}.mp4", clip.id)))?;
    }
    Ok(())
}

/// The picture on a plain ground, growing by a fifth and drifting; direction and ground vary by clip.
fn pan_and_zoom(i: usize, clip: &Clip) -> String {
    let n: u32 = clip.id.bytes().fold(7, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    let ground = ["0xf4f1ea", "0xe8eef4", "0xeef4e8", "0xf4e8ee", "0x2b2d33"][n as usize % 5];
    let (dx, dy) = [(18, 0), (-18, 0), (0, 14), (14, 10), (-14, 10)][(n / 5) as usize % 5];
    let d = clip.seconds;
    format!(
        "color=c={ground}:s={WIDTH}x{HEIGHT}:r=12:d={d:.1}[g{i}];\
         [{i}:v]format=rgba,scale=w='2*trunc(min({w},{h}*iw/ih)*(0.8+0.2*t/{d:.1})/2)':h=-2:eval=frame[p{i}];\
         [g{i}][p{i}]overlay=x='(W-w)/2+{dx}*(t/{d:.1}-0.5)':y='(H-h)/2+{dy}*(t/{d:.1}-0.5)':shortest=1,\
         format=yuv420p[o{i}]",
        h = HEIGHT,
        w = WIDTH,
    )
}
