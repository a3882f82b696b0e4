//! The decoder's face: clips in, duration, size, poster and 8-frame strip out, one result a clip.
//! Starting ffmpeg costs more than decoding a short clip, so clips go through it eight at a time;
//! one that fails is tried alone, so that a bad clip stops nothing else.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    error::{MediaError, MediaErrorCode as Code},
    explain::explain,
    frame::RgbFrame,
    graph::{self, Seek},
    output::{is_whole_jpeg, outputs, picture_path, raw_len, remove_pictures, split_raw, with_raw_output},
    probe::{self, Probe, VideoStream},
    sandbox::{Confined, Ending, Finished, Limits},
    sniff,
};

/// Frames in a strip.
pub const STRIP_FRAMES: usize = 8;
/// Width and height of one frame of a strip, in pixels.
pub const STRIP_SIDE: u32 = 224;

/// Inputs of one process.
const BATCH: usize = 8;
/// Clips longer than this are entered by seeking instead of decoded whole.
const LONG_MS: u32 = 20_000;
/// One frame at 25 a second: stands in for a duration that nothing tells.
const ONE_FRAME_MS: u32 = 40;
/// More seeked inputs than this in one process would meet the limit on open files.
const MAX_SEEKS: usize = 64;

/// What is kept of a clip beside its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaInfo {
    /// Milliseconds, at least 1.
    pub duration_ms: u32,
    /// Pixels as shown: rotation applied.
    pub width: u32,
    pub height: u32,
    /// Frames per second as declared, 0 when unknown.
    pub fps: f64,
    /// JPEG of the middle frame, 360 px high, at most 1280 wide.
    pub poster: PathBuf,
    /// JPEG of 1792 x 224: [`STRIP_FRAMES`] middle squares of [`STRIP_SIDE`] px side by side, frame
    /// k taken at `(k + 1/2) / 8` of the duration. Image encoders with an input of up to 224 px
    /// read this instead of decoding the clip again.
    pub strip: PathBuf,
}

/// Runs a confined ffmpeg. Cheap to clone; use one from as many threads as wanted, but stay in the
/// thread until a call returns: the child dies with the thread that started it.
#[derive(Clone, Debug)]
pub struct Decoder {
    ffmpeg: PathBuf,
    limits: Limits,
}

/// An input that passed the first checks.
struct Checked {
    index: usize,
    /// Absolute and free of links.
    path: PathBuf,
}

/// An input about which the container has been asked.
struct Probed {
    index: usize,
    path: PathBuf,
    duration_ms: u32,
    video: VideoStream,
}

type Results = Vec<Option<Result<MediaInfo, MediaError>>>;

impl Decoder {
    /// `ffmpeg`: path of the program, version 4.4 or newer.
    pub fn new(ffmpeg: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { ffmpeg: ffmpeg.into(), limits }
    }

    /// Probes every clip and writes its poster and strip into `out_dir` (which must exist; give
    /// each call its own). Results in the order of `inputs`. Every limit holds for a process, that
    /// is for up to 8 clips; a clip that fails among others gets a process and the limits for
    /// itself. Long clips (over 20 s) always do.
    pub fn inspect_batch(&self, inputs: &[PathBuf], out_dir: &Path) -> Vec<Result<MediaInfo, MediaError>> {
        let out_dir = match out_dir.canonicalize() {
            Ok(dir) => dir,
            Err(e) => {
                let error = MediaError::new(Code::DecoderUnavailable, format!("output folder: {e}"));
                return inputs.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let mut results: Results = inputs.iter().map(|_| None).collect();
        let indices: Vec<usize> = (0..inputs.len()).collect();
        for chunk in indices.chunks(BATCH) {
            let mut checked = Vec::new();
            for &index in chunk {
                match self.check(&inputs[index]) {
                    Ok(path) => checked.push(Checked { index, path }),
                    Err(e) => results[index] = Some(Err(e)),
                }
            }
            let mut short = Vec::new();
            for (clip, probed) in self.probe_all(checked) {
                match probed.and_then(|p| self.complete(&clip, p)) {
                    Ok(p) if p.duration_ms > LONG_MS => {
                        results[p.index] = Some(self.inspect_long(&p, &out_dir));
                    }
                    Ok(p) => short.push(p),
                    Err(e) => results[clip.index] = Some(Err(e)),
                }
            }
            self.inspect_short(short, &out_dir, &mut results);
        }
        let lost = || Err(MediaError::new(Code::DecodeFailed, "no result"));
        results.into_iter().map(|r| r.unwrap_or_else(lost)).collect()
    }

    /// `n` frames (1 to 64) spread over the clip as in a strip: whole pictures as shown, the short
    /// side `side` px, the long side at most 8 times that. For encoders that want more than a
    /// strip holds; they crop, stretch or pad for themselves.
    ///
    /// # Errors
    /// [`MediaError`] as for [`Self::inspect_batch`].
    ///
    /// # Panics
    /// When `n` is not in 1..=64 or `side` is 0.
    pub fn frames(&self, input: &Path, n: usize, side: u32) -> Result<Vec<RgbFrame>, MediaError> {
        assert!((1..=MAX_SEEKS).contains(&n) && side > 0, "1 to {MAX_SEEKS} frames of at least 1 px");
        let clip = Checked { index: 0, path: self.check(input)? };
        let (clip, probed) = self
            .probe_all(vec![clip])
            .pop()
            .ok_or_else(|| MediaError::new(Code::DecodeFailed, "no result"))?;
        let clip = self.complete(&clip, probed?)?;
        let size = scaled_size(&clip.video, side);
        if clip.duration_ms <= LONG_MS {
            return self.frames_from_start(&clip.path, clip.duration_ms, n, size);
        }
        for seek in [Seek::KeyFrame, Seek::Exact] {
            let args = self.seeked(&clip, n, seek, &graph::seeked_frames_graph(n, size));
            let read = std::slice::from_ref(&clip.path);
            let finished = self.run(with_raw_output(args), read, None, raw_len(n, size))?;
            let spread = seek == Seek::Exact || is_spread(&finished.stderr, n, clip.duration_ms);
            if spread && finished.stdout.len() as u64 == raw_len(n, size) {
                return Ok(split_raw(&finished.stdout, size));
            }
        }
        // Cannot be entered by seeking: go by what the file really holds.
        self.frames_from_start(&clip.path, self.measure(&clip.path)?, n, size)
    }

    fn frames_from_start(
        &self,
        path: &PathBuf,
        duration_ms: u32,
        n: usize,
        size: (u32, u32),
    ) -> Result<Vec<RgbFrame>, MediaError> {
        let mut args = graph::prologue();
        args.extend(graph::filters_on_one_thread());
        args.extend(graph::input(path, self.limits.max_pixels, None));
        let scaled = graph::whole(size.0, size.1);
        args.push("-filter_complex".into());
        args.push(format!("[0:V:0]{},{scaled},tile=1x{n}[s0]", graph::sampled(n, duration_ms)).into());
        let read = std::slice::from_ref(path);
        let finished = self.run(with_raw_output(args), read, None, raw_len(n, size))?;
        if finished.stdout.len() as u64 == raw_len(n, size) {
            Ok(split_raw(&finished.stdout, size))
        } else {
            Err(explain(&finished, "no frame could be decoded"))
        }
    }

    /// The cheap checks, before any decoder: a readable, non-empty, not too large file that starts
    /// like a supported container.
    fn check(&self, input: &Path) -> Result<PathBuf, MediaError> {
        let unreadable = |e: std::io::Error| MediaError::new(Code::Unreadable, e.to_string());
        let path = input.canonicalize().map_err(unreadable)?;
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(MediaError::new(Code::Unreadable, "not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(MediaError::new(Code::EmptyFile, "0 bytes"));
        }
        if metadata.len() > self.limits.input_bytes {
            let message = format!("{} bytes, at most {} are taken", metadata.len(), self.limits.input_bytes);
            return Err(MediaError::new(Code::TooLarge, message));
        }
        let mut head = Vec::new();
        File::open(&path).and_then(|f| f.take(4096).read_to_end(&mut head)).map_err(unreadable)?;
        match (sniff::sniff(&head), sniff::known_but_refused(&head)) {
            (Some(_), _) => Ok(path),
            (None, Some(format)) => Err(MediaError::new(Code::UnsupportedFormat, format)),
            (None, None) => Err(MediaError::new(Code::NotVideo, "no video container known here")),
        }
    }

    /// Asks about all inputs with as few processes as possible: ffmpeg stops at the first input
    /// that it cannot open, which is then tried alone before the rest goes on.
    fn probe_all(&self, clips: Vec<Checked>) -> Vec<(Checked, Result<Probe, MediaError>)> {
        let mut done = Vec::with_capacity(clips.len());
        let mut rest = clips;
        while !rest.is_empty() {
            let paths: Vec<PathBuf> = rest.iter().map(|c| c.path.clone()).collect();
            let (probes, said) = match self.probe(&paths) {
                Ok(answer) => answer,
                Err(e) => {
                    done.extend(rest.into_iter().map(|c| (c, Err(e.clone()))));
                    return done;
                }
            };
            let opened = probes.len().min(rest.len());
            let tail = rest.split_off(opened);
            done.extend(rest.into_iter().zip(probes.into_iter().map(Ok)));
            rest = tail;
            if rest.is_empty() {
                break;
            }
            let suspect = rest.remove(0);
            let verdict = if paths.len() == 1 {
                Err(said)
            } else {
                self.probe(std::slice::from_ref(&suspect.path))
                    .and_then(|(mut probes, said)| probes.pop().ok_or(said))
            };
            done.push((suspect, verdict));
        }
        done
    }

    /// The inputs that could be opened, and the error that explains the first that could not.
    fn probe(&self, paths: &[PathBuf]) -> Result<(Vec<Probe>, MediaError), MediaError> {
        let mut args = graph::prologue();
        for path in paths {
            args.extend(graph::input(path, self.limits.max_pixels, None));
        }
        let finished = self.run(args, paths, None, 0)?;
        let error = explain(&finished, "could not be opened");
        Ok((probe::parse_inputs(&finished.stderr), error))
    }

    /// From what the container says to what is needed for decoding.
    fn complete(&self, clip: &Checked, probe: Probe) -> Result<Probed, MediaError> {
        let video = probe
            .video
            .ok_or_else(|| MediaError::new(Code::NoVideoStream, "the file holds no moving picture"))?;
        let pixels = u64::from(video.width) * u64::from(video.height);
        if pixels > self.limits.max_pixels {
            let message = format!("{} x {} pixels", video.width, video.height);
            return Err(MediaError::new(Code::TooLarge, message));
        }
        let duration_ms = match probe.duration_ms {
            Some(ms) => ms,
            None => self.measure(&clip.path)?,
        };
        Ok(Probed { index: clip.index, path: clip.path.clone(), duration_ms, video })
    }

    /// Duration of a clip whose header does not say or lies: reads all packets, decodes none.
    fn measure(&self, path: &Path) -> Result<u32, MediaError> {
        let mut args = graph::prologue();
        args.extend(graph::input(path, self.limits.max_pixels, None));
        args.extend(graph::strings(&[
            "-map",
            "0:V:0",
            "-c",
            "copy",
            "-progress",
            "pipe:1",
            "-f",
            "null",
            "-",
        ]));
        let read = [path.to_path_buf()];
        let finished = self.run(args, &read, None, 1 << 20)?;
        if finished.ending == Ending::TimedOut {
            return Err(explain(&finished, "reading took too long"));
        }
        let progress = String::from_utf8_lossy(&finished.stdout).into_owned();
        Ok(probe::parse_progress(&progress).unwrap_or(ONE_FRAME_MS))
    }

    fn inspect_short(&self, clips: Vec<Probed>, out_dir: &Path, results: &mut Results) {
        if clips.is_empty() {
            return;
        }
        let refused = match self.draw(&clips, out_dir) {
            Ok(finished) if clips.len() == 1 => Some(explain(&finished, "no frame could be decoded")),
            Ok(_) => None,
            Err(e) => Some(e),
        };
        for clip in clips {
            let index = clip.index;
            results[index] = Some(match (info(&clip, out_dir), &refused) {
                (Some(info), _) => Ok(info),
                (None, Some(error)) => Err(error.clone()),
                (None, None) => self.inspect_alone(&clip, out_dir),
            });
        }
    }

    /// One short clip with a process and all limits for itself.
    fn inspect_alone(&self, clip: &Probed, out_dir: &Path) -> Result<MediaInfo, MediaError> {
        let finished = self.draw(std::slice::from_ref(clip), out_dir)?;
        info(clip, out_dir).ok_or_else(|| explain(&finished, "no frame could be decoded"))
    }

    /// Strips and posters of clips decoded from their start, in one process. Each clip has a
    /// filter graph of its own, so that none waits for another.
    fn draw(&self, clips: &[Probed], out_dir: &Path) -> Result<Finished, MediaError> {
        let mut args = graph::prologue();
        args.extend(graph::filters_on_one_thread());
        for clip in clips {
            args.extend(graph::input(&clip.path, self.limits.max_pixels, None));
        }
        for (i, clip) in clips.iter().enumerate() {
            args.push("-filter_complex".into());
            args.push(graph::inspect_graph(i, STRIP_FRAMES, STRIP_SIDE, clip.duration_ms).into());
        }
        for (i, clip) in clips.iter().enumerate() {
            args.extend(outputs(i, clip.index, out_dir));
        }
        let read: Vec<PathBuf> = clips.iter().map(|c| c.path.clone()).collect();
        self.run(args, &read, Some(out_dir), 0)
    }

    /// Key frames first; when they lie too far apart to give each eighth of the clip its own
    /// frame, exact seeks; when the clip cannot be entered by seeking, from start to end.
    fn inspect_long(&self, clip: &Probed, out_dir: &Path) -> Result<MediaInfo, MediaError> {
        let read = [clip.path.clone()];
        for seek in [Seek::KeyFrame, Seek::Exact] {
            let graph = graph::seeked_inspect_graph(STRIP_FRAMES, STRIP_SIDE);
            let mut args = self.seeked(clip, STRIP_FRAMES, seek, &graph);
            args.extend(outputs(0, clip.index, out_dir));
            let finished = self.run(args, &read, Some(out_dir), 0)?;
            if (seek == Seek::Exact || is_spread(&finished.stderr, STRIP_FRAMES, clip.duration_ms))
                && let Some(info) = info(clip, out_dir)
            {
                return Ok(info);
            }
            remove_pictures(clip.index, out_dir);
        }
        let measured = Probed {
            index: clip.index,
            path: clip.path.clone(),
            duration_ms: self.measure(&clip.path)?,
            video: clip.video.clone(),
        };
        self.inspect_alone(&measured, out_dir)
    }

    /// The command line up to the outputs for `n` seeked inputs of one clip.
    fn seeked(&self, clip: &Probed, n: usize, seek: Seek, graph: &str) -> Vec<OsString> {
        let mut args = graph::prologue();
        args.extend(graph::filters_on_one_thread());
        for place in graph::places(n, clip.duration_ms) {
            args.extend(graph::input(&clip.path, self.limits.max_pixels, Some((seek, place))));
        }
        args.push("-filter_complex".into());
        args.push(graph.into());
        args
    }

    fn run(
        &self,
        args: Vec<OsString>,
        read: &[PathBuf],
        write: Option<&Path>,
        stdout_cap: u64,
    ) -> Result<Finished, MediaError> {
        Confined { program: &self.ffmpeg, args, read, write, limits: &self.limits, stdout_cap }
            .run()
            .map_err(|e| MediaError::new(Code::DecoderUnavailable, format!("ffmpeg does not start: {e}")))
    }
}

/// The clip's result when both pictures are there and whole.
fn info(clip: &Probed, out_dir: &Path) -> Option<MediaInfo> {
    let poster = picture_path(out_dir, clip.index, "poster");
    let strip = picture_path(out_dir, clip.index, "strip");
    let known = clip.video.width > 0 && clip.video.height > 0;
    (known && is_whole_jpeg(&poster) && is_whole_jpeg(&strip)).then_some(MediaInfo {
        duration_ms: clip.duration_ms,
        width: clip.video.width,
        height: clip.video.height,
        fps: clip.video.fps,
        poster,
        strip,
    })
}

/// Size with the short side `side`, pixels made square, the long side at most 8 times the short.
fn scaled_size(video: &VideoStream, side: u32) -> (u32, u32) {
    let width = f64::from(video.width) * video.pixel_aspect;
    let height = f64::from(video.height);
    let short = width.min(height);
    if short <= 0.0 {
        return (side, side);
    }
    let scaled = |length: f64| ((length / short * f64::from(side)).round() as u32).clamp(side, 8 * side);
    (scaled(width), scaled(height))
}

/// Every frame lies within its own part of the clip.
fn is_spread(stderr: &str, n: usize, duration_ms: u32) -> bool {
    let half_part = f64::from(duration_ms) / 2000.0 / n as f64;
    probe::parse_offsets(stderr, n).iter().all(|o| o.is_some_and(|o| o.abs() <= half_part))
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
