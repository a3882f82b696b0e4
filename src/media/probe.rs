//! Reads what ffmpeg prints about its inputs (ffmpeg 4 to 9). Only lines that ffmpeg itself writes
//! at the start of an input are trusted: a clip's own metadata is printed further in and cannot
//! pass for them.

/// What the container says about one input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    /// Milliseconds; `None` when the header does not say (live WebM) or says zero.
    pub(crate) duration_ms: Option<u32>,
    pub(crate) video: Option<VideoStream>,
}

/// The first video stream that is not a cover picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VideoStream {
    /// As shown: a quarter turn in the metadata is applied. 0 when the decoder could not tell.
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Width over height of one pixel as shown, 1 when unknown.
    pub(crate) pixel_aspect: f64,
    /// Frames per second, 0 when unknown.
    pub(crate) fps: f64,
}

/// One `Probe` for every input that was opened, in order. An input that failed ends the list.
pub(crate) fn parse_inputs(stderr: &str) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    // Inside the description of the stream that `video` holds, where its rotation is listed.
    let mut in_video = false;
    for line in stderr.lines() {
        if line.strip_prefix("Input #").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            probes.push(Probe { duration_ms: None, video: None });
            in_video = false;
            continue;
        }
        let Some(probe) = probes.last_mut() else { continue };
        if let Some(rest) = line.strip_prefix("  Duration: ") {
            probe.duration_ms = parse_clock(rest.split(',').next().unwrap_or("")).filter(|ms| *ms > 0);
        } else if let Some(rest) = line.trim_start().strip_prefix("Stream #") {
            in_video = false;
            if probe.video.is_none()
                && let Some((_, codec)) = rest.split_once(": Video: ")
                && !codec.contains("(attached pic)")
                && !codec.contains("(timed thumbnails)")
            {
                probe.video = Some(parse_video(codec));
                in_video = true;
            }
        } else if in_video
            && let Some((_, turn)) = line.split_once(": rotation of ")
            && let Some(video) = &mut probe.video
            && is_quarter_turn(turn)
        {
            std::mem::swap(&mut video.width, &mut video.height);
            video.pixel_aspect = 1.0 / video.pixel_aspect;
            in_video = false;
        }
    }
    probes
}

/// `HH:MM:SS.cc` in milliseconds.
fn parse_clock(text: &str) -> Option<u32> {
    let mut parts = text.trim().splitn(3, ':');
    let hours: f64 = parts.next()?.parse().ok()?;
    let minutes: f64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next()?.parse().ok()?;
    let ms = ((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0;
    (0.0..=f64::from(u32::MAX)).contains(&ms).then(|| ms.round() as u32)
}

fn parse_video(codec: &str) -> VideoStream {
    let fields = || codec.split(", ").map(str::trim);
    let (width, height) = fields().find_map(parse_size).unwrap_or((0, 0));
    let rate = |unit: &str| fields().find_map(|f| parse_rate(f.strip_suffix(unit)?.trim()));
    let fps = rate("fps").or_else(|| rate("tbr")).unwrap_or(0.0);
    VideoStream { width, height, pixel_aspect: parse_pixel_aspect(codec).unwrap_or(1.0), fps }
}

/// `SAR 4:3`, in brackets or not.
fn parse_pixel_aspect(codec: &str) -> Option<f64> {
    let (_, rest) = codec.split_once("SAR ")?;
    let (w, h) = rest.split(' ').next()?.split_once(':')?;
    let (w, h): (f64, f64) = (w.parse().ok()?, h.parse().ok()?);
    (w > 0.0 && h > 0.0).then_some(w / h)
}

/// `320x240`, perhaps followed by ` [SAR ...]`.
fn parse_size(field: &str) -> Option<(u32, u32)> {
    let (w, h) = field.split(' ').next()?.split_once('x')?;
    let (w, h) = (w.parse().ok()?, h.parse().ok()?);
    (w > 0 && h > 0).then_some((w, h))
}

/// `29.97` or `1k`.
fn parse_rate(text: &str) -> Option<f64> {
    let (number, factor) = text.strip_suffix('k').map_or((text, 1.0), |n| (n, 1000.0));
    number.parse::<f64>().ok().map(|r| r * factor).filter(|r| r.is_finite() && *r > 0.0)
}

fn is_quarter_turn(text: &str) -> bool {
    let degrees: f64 = text.split(' ').next().and_then(|t| t.parse().ok()).unwrap_or(0.0);
    (degrees.abs() % 180.0 - 90.0).abs() < 1.0
}

/// The end of a remux (`-progress`): milliseconds of video, from the last `out_time_us` or, where
/// that is missing, from the number of frames at 25 a second.
pub(crate) fn parse_progress(stdout: &str) -> Option<u32> {
    let last = |key: &str| {
        stdout.lines().rev().find_map(|l| l.strip_prefix(key)).and_then(|v| v.trim().parse::<u64>().ok())
    };
    let ms = last("out_time_us=")
        .map(|us| us / 1000)
        .filter(|ms| *ms > 0)
        .or_else(|| last("frame=").map(|n| n * 40).filter(|ms| *ms > 0))?;
    u32::try_from(ms).ok()
}

/// Seconds by which the first frame of each seeked input `k<i>` lies off the wanted time
/// (`showinfo@k<i>`); `None` for an input that showed none.
pub(crate) fn parse_offsets(stderr: &str, n: usize) -> Vec<Option<f64>> {
    let mut offsets = vec![None; n];
    for line in stderr.lines() {
        let Some(rest) = line.strip_prefix("[showinfo@k") else { continue };
        let Some(k) = rest.split(' ').next().and_then(|k| k.parse::<usize>().ok()) else { continue };
        let Some((_, time)) = rest.split_once(" pts_time:") else { continue };
        if let (Some(slot), Ok(t)) = (offsets.get_mut(k), time.split(' ').next().unwrap_or("").parse()) {
            *slot = Some(t);
        }
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    // Copied from ffmpeg 5.1.9 (first two inputs) and 9.0.2 (third).
    const DUMP: &str = "\
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'rot.mp4':
  Metadata:
    title           : a trap
                    :   Duration: 09:00:00.00, start: 0
    Duration: 08:00:00.00, start: 0: another
  Duration: 00:01:03.25, start: 0.000000, bitrate: 45 kb/s
  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, bt709, progressive), 320x240 [SAR 4:3 DAR 16:9], 41 kb/s, 29.97 fps, 25 tbr, 12800 tbn (default)
    Metadata:
      handler_name    : VideoHandler
    Side data:
      displaymatrix: rotation of 90.00 degrees
Input #1, matroska,webm, from 'live.webm':
  Duration: N/A, start: 0.000000, bitrate: N/A
  Stream #1:0: Video: mjpeg (Baseline), yuvj444p(pc), 600x600, 90k tbr, 90k tbn (attached pic)
  Stream #1:1: Video: vp8, yuv420p(tv, progressive), 321x241, SAR 1:1 DAR 4:3, 25 tbr, 1k tbn
  Stream #1:2: Audio: opus, 48000 Hz, mono
Input #2, mov,mp4,m4a,3gp,3g2,mj2, from 'turned.mp4':
  Duration: 00:00:00.04, start: 0.000000, bitrate: 75 kb/s
  Stream #2:0[0x1](und): Video: h264 (High), yuv420p(progressive), 640x360 [SAR 1:1 DAR 16:9], 25 fps, 25 tbr
    Side data:
      Display Matrix: rotation of 180.00 degrees
At least one output file must be specified
";

    #[test]
    fn inputs_are_read_from_the_dump() {
        let probes = parse_inputs(DUMP);
        let video = |width, height, pixel_aspect, fps| Some(VideoStream { width, height, pixel_aspect, fps });
        assert_eq!(
            probes,
            [
                Probe { duration_ms: Some(63_250), video: video(240, 320, 0.75, 29.97) },
                Probe { duration_ms: None, video: video(321, 241, 1.0, 25.0) },
                Probe { duration_ms: Some(40), video: video(640, 360, 1.0, 25.0) },
            ]
        );
    }

    #[test]
    fn sound_only_has_no_video() {
        let dump =
            "Input #0, mov, from 'a.m4a':\n  Duration: 00:00:02.00, start: 0\n  Stream #0:0: Audio: aac\n";
        assert_eq!(parse_inputs(dump), [Probe { duration_ms: Some(2000), video: None }]);
        assert_eq!(parse_inputs("x.mp4: Invalid data found when processing input\n"), []);
    }

    #[test]
    fn progress_gives_the_length() {
        assert_eq!(parse_progress("frame=3\nout_time_us=40000\nframe=75\nout_time_us=2960000\n"), Some(2960));
        assert_eq!(parse_progress("frame=75\nout_time_us=N/A\n"), Some(3000));
        assert_eq!(parse_progress(""), None);
    }

    #[test]
    fn offsets_are_told_by_input() {
        let log = "[showinfo@k1 @ 0x7f] n:   0 pts: -22400 pts_time:-1.75   pos: 1\n\
                   [showinfo@k0 @ 0x7f] n:   0 pts:    128 pts_time:0.01    duration: 5\n";
        assert_eq!(parse_offsets(log, 3), [Some(0.01), Some(-1.75), None]);
    }
}
