//! The ffmpeg command lines: which frames of a clip are taken and how they are cropped.
//!
//! Frame `k` of `n` is the one on screen in the middle of the k-th of n equal parts of the clip, at
//! `(k + 1/2) / n` of its duration. Short clips are decoded from start to end; long ones are
//! entered by seeking at n places, so that the cost does not grow with their length.

use std::{ffi::OsString, path::Path};

/// Containers that ffmpeg may detect; in particular no playlists and no image sequences, whose
/// entries name other files.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seek {
    /// The key frame at or before the place: cheap, off by up to one key-frame distance.
    KeyFrame,
    /// Decodes from that key frame to the exact frame.
    Exact,
}

/// The start of every command line.
pub(crate) fn prologue() -> Vec<OsString> {
    strings(&["-hide_banner", "-nostdin", "-nostats", "-y", "-v", "info"])
}

pub(crate) fn filters_on_one_thread() -> Vec<OsString> {
    strings(&["-filter_threads", "1", "-filter_complex_threads", "1"])
}

/// One input, with everything but its pictures switched off. `path` must be absolute.
pub(crate) fn input(path: &Path, max_pixels: u64, seek: Option<(Seek, f64)>) -> Vec<OsString> {
    let mut args = strings(&["-protocol_whitelist", "file", "-format_whitelist", FORMATS]);
    args.extend(strings(&["-threads", "1", "-an", "-sn", "-dn", "-max_pixels", &max_pixels.to_string()]));
    if let Some((seek, seconds)) = seek {
        if seek == Seek::KeyFrame {
            args.extend(strings(&["-noaccurate_seek", "-skip_frame", "nokey"]));
        }
        args.extend(strings(&["-ss", &format!("{seconds:.3}")]));
    }
    args.push("-i".into());
    args.push(file_url(path));
    args
}

/// The places, in seconds, of `n` frames in a clip of `duration_ms`.
pub(crate) fn places(n: usize, duration_ms: u32) -> impl Iterator<Item = f64> {
    let step = f64::from(duration_ms) / 1000.0 / n as f64;
    (0..n).map(move |k| (k as f64 + 0.5) * step)
}

/// `n` frames spread over a clip that is decoded from its start. `fps` with `round=up` emits, at
/// each tick, the last frame that began before it; shifting the clock by half a step puts the
/// ticks in the middle of the parts. A clip with fewer frames repeats them, one that ends early
/// repeats its last.
pub(crate) fn sampled(n: usize, duration_ms: u32) -> String {
    let ms = duration_ms.max(1);
    let half_step = f64::from(ms) / 2000.0 / n as f64;
    format!(
        "setpts=PTS-STARTPTS-{half_step:.6}/TB,fps=fps={rate}/{ms}:round=up,tpad=stop_mode=clone:stop={n}",
        rate = 1000 * n
    )
}

/// The middle square as displayed (pixel shape and rotation applied), scaled to `side`: the same
/// as scaling the short side and cropping, without the detour over a huge picture when the clip
/// is a thin stripe.
pub(crate) fn square(side: u32) -> String {
    format!("crop=w=min(iw\\,ih/sar):h=min(ih\\,iw*sar),scale={side}:{side}:flags=bicubic,setsar=1")
}

/// The whole picture as displayed, scaled to exactly this size.
pub(crate) fn whole(width: u32, height: u32) -> String {
    format!("scale={width}:{height}:flags=bicubic,setsar=1")
}

/// 360 px high, at most 1280 wide, even.
pub(crate) fn poster() -> &'static str {
    "scale=w=max(2\\,2*trunc(min(1280\\,360*dar)/2)):h=360:flags=bicubic,setsar=1"
}

/// Graph of input `i` decoded from its start: strip on `[s<i>]`, poster on `[p<i>]`.
pub(crate) fn inspect_graph(i: usize, frames: usize, side: u32, duration_ms: u32) -> String {
    format!(
        "[{i}:V:0]{},split=2[a{i}][b{i}];[a{i}]{},tile={frames}x1[s{i}];[b{i}]select=eq(n\\,{}),{}[p{i}]",
        sampled(frames, duration_ms),
        square(side),
        frames / 2,
        poster()
    )
}

/// Graph over `n` seeked inputs of one clip: the first frame of each, side by side on `[s0]`, the
/// middle one as poster on `[p0]`. Their offsets are printed (see `probe::parse_offsets`).
pub(crate) fn seeked_inspect_graph(n: usize, side: u32) -> String {
    let middle = n / 2;
    let mut graph = first_frames(n, |k| {
        let square = square(side);
        if k == middle { format!("split=2[m][b0];[b0]{}[p0];[m]{square}", poster()) } else { square }
    });
    graph.push_str(&format!("hstack=inputs={n}[s0]"));
    graph
}

/// As above for whole frames one above the other on `[s0]`.
pub(crate) fn seeked_frames_graph(n: usize, (width, height): (u32, u32)) -> String {
    let mut graph = first_frames(n, |_| whole(width, height));
    graph.push_str(&if n == 1 { "null[s0]".to_owned() } else { format!("vstack=inputs={n}[s0]") });
    graph
}

fn first_frames(n: usize, then: impl Fn(usize) -> String) -> String {
    let mut graph = String::new();
    for k in 0..n {
        graph.push_str(&format!(
            "[{k}:V:0]trim=end_frame=1,showinfo@k{k}=checksum=0,setpts=0,{}[f{k}];",
            then(k)
        ));
    }
    for k in 0..n {
        graph.push_str(&format!("[f{k}]"));
    }
    graph
}

/// Writes the single picture on `label` as a JPEG. Lower `quality` is better (2 to 31).
pub(crate) fn jpeg_output(label: &str, quality: u8, path: &Path) -> Vec<OsString> {
    let mut args = strings(&["-map", label, "-frames:v", "1", "-threads", "1"]);
    args.extend(strings(&["-c:v", "mjpeg", "-q:v", &quality.to_string(), "-f", "image2", "-update", "1"]));
    args.push(path.into());
    args
}

/// `file:` keeps a path from being taken for an option or for another protocol.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

pub(crate) fn strings(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_middles_of_equal_parts() {
        assert_eq!(places(4, 8000).collect::<Vec<_>>(), [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(places(1, 3000).collect::<Vec<_>>(), [1.5]);
    }
}
