//! The decoder on real clips, good and bad.

use std::time::Duration;

use super::*;
use crate::media::fixtures::{brightening, ffmpeg, make};

const PATTERN: &str = "-f lavfi -i testsrc=size=320x240:rate=25:duration=2 -pix_fmt yuv420p";

fn decoder() -> Decoder {
    Decoder::new(ffmpeg(), Limits::default())
}

fn inspect_in(decoder: &Decoder, dir: &Path, inputs: &[PathBuf]) -> Vec<Result<MediaInfo, MediaError>> {
    let out = dir.join("out");
    fs::create_dir_all(&out).unwrap();
    decoder.inspect_batch(inputs, &out)
}

fn inspect(dir: &Path, inputs: &[PathBuf]) -> Vec<Result<MediaInfo, MediaError>> {
    inspect_in(&decoder(), dir, inputs)
}

fn jpeg_size(path: &Path) -> (usize, usize) {
    let bytes = fs::read(path).unwrap();
    let mut jpeg = zune_jpeg::JpegDecoder::new(std::io::Cursor::new(bytes));
    jpeg.decode_headers().unwrap();
    jpeg.dimensions().unwrap()
}

/// Mean brightness of each frame of a strip, 0 to 255.
fn brightness(strip: &Path) -> Vec<f64> {
    let bytes = fs::read(strip).unwrap();
    let mut jpeg = zune_jpeg::JpegDecoder::new(std::io::Cursor::new(bytes));
    let pixels = jpeg.decode().unwrap();
    let (width, height) = jpeg.dimensions().unwrap();
    let channels = pixels.len() / (width * height);
    let side = width / STRIP_FRAMES;
    let mean = |k: usize| {
        let mut sum = 0.0;
        for y in 0..height {
            for x in k * side..(k + 1) * side {
                sum += f64::from(pixels[(y * width + x) * channels]);
            }
        }
        sum / (side * height) as f64
    };
    (0..STRIP_FRAMES).map(mean).collect()
}

/// The brightness of frame k is that of the time `(k + 1/2) / 8`, give or take `tolerance`.
fn assert_spread(strip: &Path, tolerance: f64) {
    let seen = brightness(strip);
    for (k, b) in seen.iter().enumerate() {
        let expected = 255.0 * (k as f64 + 0.5) / 8.0;
        assert!((b - expected).abs() <= tolerance, "frame {k}: {b:.1}, expected {expected:.1} in {seen:.1?}");
    }
}

#[test]
fn a_clip_gives_its_facts_a_poster_and_a_strip() {
    let dir = tempfile::tempdir().unwrap();
    let clip = make(dir.path(), PATTERN, "a.mp4");
    let info = inspect(dir.path(), &[clip])[0].clone().unwrap();
    assert_eq!((info.duration_ms, info.width, info.height, info.fps), (2000, 320, 240, 25.0));
    assert_eq!(jpeg_size(&info.poster), (480, 360));
    assert_eq!(jpeg_size(&info.strip), (1792, 224));
}

#[test]
fn the_frames_of_a_strip_are_spread_over_the_clip() {
    let dir = tempfile::tempdir().unwrap();
    let short = brightening(dir.path(), 4, "", "short.mp4");
    // Key frames every second: one lies within each eighth of 24 s.
    let long = brightening(dir.path(), 24, "-g 25", "long.mp4");
    // One key frame in all: exact seeks are needed.
    let one_key = brightening(dir.path(), 24, "-g 9999 -keyint_min 9999 -sc_threshold 0", "key.mkv");
    let infos = inspect(dir.path(), &[short, long, one_key]);
    assert_spread(&infos[0].as_ref().unwrap().strip, 6.0);
    // At most one second of 24 before the place: 255 / 24 = 11 grey levels.
    assert_spread(&infos[1].as_ref().unwrap().strip, 6.0 + 11.0);
    assert_spread(&infos[2].as_ref().unwrap().strip, 6.0);
}

/// Sets the display matrix of an MP4's first track to a quarter turn. (The option for it differs
/// between versions of ffmpeg.)
fn turned_by_90(mut mp4: Vec<u8>) -> Vec<u8> {
    let matrix = mp4.windows(4).position(|w| w == b"tkhd").unwrap() + 4 + 40;
    for (k, value) in [0, 0x1_0000, 0, 0xffff_0000u32, 0, 0, 0, 0, 0x4000_0000].into_iter().enumerate() {
        mp4[matrix + 4 * k..matrix + 4 * k + 4].copy_from_slice(&value.to_be_bytes());
    }
    mp4
}

#[test]
fn odd_but_valid_clips_give_frames() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let one = make(d, &format!("{PATTERN} -frames:v 1"), "one.mp4");
    let odd = make(d, "-f lavfi -i testsrc=size=161x95:rate=25:duration=1 -pix_fmt yuv444p", "odd.mp4");
    let pattern = make(d, PATTERN, "pattern.mp4");
    let turned = d.join("turned.mp4");
    fs::write(&turned, turned_by_90(fs::read(pattern).unwrap())).unwrap();
    let live = make(d, &format!("{PATTERN} -c:v libvpx -live 1"), "live.webm");
    let gaps = make(d, &format!("{PATTERN} -vf select=lt(n\\,5)+gt(n\\,40) -fps_mode vfr"), "gaps.mp4");
    let stripe =
        make(d, "-f lavfi -i testsrc=size=16x2000:rate=25:duration=1 -pix_fmt yuv420p", "stripe.mp4");
    let ts = make(d, PATTERN, "a.ts");
    let avi = make(d, PATTERN, "a.avi");
    let flv = make(d, PATTERN, "a.flv");
    let clips = [one, odd, turned, live, gaps, stripe, ts, avi, flv];
    let infos = inspect(d, &clips);
    for (clip, info) in clips.iter().zip(&infos) {
        let info = info.as_ref().unwrap_or_else(|e| panic!("{}: {e}", clip.display()));
        assert_eq!(jpeg_size(&info.strip), (1792, 224), "{}", clip.display());
    }
    let info = |k: usize| infos[k].as_ref().unwrap();
    assert_eq!(info(0).duration_ms, 40);
    assert_eq!((info(1).width, info(1).height), (161, 95));
    assert_eq!((info(2).width, info(2).height), (240, 320), "rotation is applied");
    assert_eq!(jpeg_size(&info(2).poster), (270, 360));
    assert!((1900..=2040).contains(&info(3).duration_ms), "live WebM is measured: {}", info(3).duration_ms);
}

#[test]
fn bad_files_are_named_and_stop_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let good = make(d, PATTERN, "good.mp4");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(d.join(name), bytes).unwrap();
        d.join(name)
    };
    let bytes = fs::read(&good).unwrap();
    let inputs = [
        good.clone(),
        write("empty.mp4", b""),
        write("text.mp4", b"this is no video, however it is called\n"),
        write("truncated.mp4", &bytes[..bytes.len() / 2]),
        good.clone(),
        make(d, "-f lavfi -i sine=duration=1", "sound.m4a"),
        make(d, "-f lavfi -i testsrc=size=64x64:rate=5:duration=1", "picture.gif"),
        d.join("missing.mp4"),
        d.to_path_buf(),
        good,
    ];
    let found: Vec<&str> =
        inspect(d, &inputs).into_iter().map(|r| r.map_or_else(|e| e.code.as_str(), |_| "ok")).collect();
    let expected = [
        "ok",
        "empty_file",
        "not_video",
        "decode_failed",
        "ok",
        "no_video_stream",
        "unsupported_format",
        "unreadable",
        "unreadable",
        "ok",
    ];
    assert_eq!(found, expected);
}

#[test]
fn damaged_packets_end_in_frames_or_an_error_and_spare_the_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let good = make(dir.path(), PATTERN, "good.mp4");
    let early = make(dir.path(), &format!("{PATTERN} -movflags +faststart"), "early.mp4");
    let bytes = fs::read(&early).unwrap();
    let cut = dir.path().join("cut.mp4");
    fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    // The header stands, every coded picture is zeroed.
    let mut zeroed = bytes.clone();
    let start = bytes.windows(4).position(|w| w == b"mdat").unwrap() + 4;
    zeroed[start..].fill(0);
    let blank = dir.path().join("blank.mp4");
    fs::write(&blank, zeroed).unwrap();
    let results = inspect(dir.path(), &[good.clone(), cut, blank, good]);
    assert!(results[0].is_ok() && results[3].is_ok());
    assert!(results[1].is_ok(), "a clip that ends early repeats its last frame: {:?}", results[1]);
    assert_eq!(results[2].as_ref().unwrap_err().code, Code::DecodeFailed);
}

#[test]
fn no_other_file_is_read_through_a_playlist() {
    let dir = tempfile::tempdir().unwrap();
    let d = dir.path();
    let secret = make(d, PATTERN, "secret.ts");
    let list = d.join("list.mp4");
    let text =
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n", secret.display());
    fs::write(&list, text).unwrap();
    let error = inspect(d, std::slice::from_ref(&list))[0].clone().unwrap_err();
    assert_eq!(error.code, Code::UnsupportedFormat);

    // Behind that gate ffmpeg refuses it too...
    assert!(decoder().probe(std::slice::from_ref(&list)).unwrap().0.is_empty());

    // ... and with ffmpeg's own guards switched off the sandbox still does.
    if !cfg!(target_os = "linux") {
        return;
    }
    let concat = d.join("concat.txt");
    fs::write(&concat, format!("ffconcat version 1.0\nfile '{}'\n", secret.display())).unwrap();
    let naive = |read: &[PathBuf]| {
        let mut args = graph::prologue();
        args.extend(graph::strings(&["-f", "concat", "-safe", "0", "-i"]));
        args.push((&concat).into());
        decoder().run(args, read, None, 0).unwrap().stderr
    };
    assert!(naive(&[concat.clone(), secret.clone()]).contains("Video: mpeg2video"), "the trick itself works");
    let refused = naive(std::slice::from_ref(&concat));
    assert!(refused.contains("Permission denied") && !refused.contains("mpeg2video"), "{refused}");
}

#[test]
fn limits_end_in_their_own_errors() {
    let dir = tempfile::tempdir().unwrap();
    let clip = make(dir.path(), PATTERN, "a.mp4");
    let code = |limits: Limits| {
        let decoder = Decoder::new(ffmpeg(), limits);
        inspect_in(&decoder, dir.path(), std::slice::from_ref(&clip))[0].clone().unwrap_err().code
    };
    let limits = Limits::default;
    assert_eq!(code(Limits { wall: Duration::from_millis(1), ..limits() }), Code::TimedOut);
    assert_eq!(code(Limits { max_pixels: 320 * 240 - 1, ..limits() }), Code::TooLarge);
    assert_eq!(code(Limits { input_bytes: 10, ..limits() }), Code::TooLarge);
    assert_eq!(code(Limits { output_bytes: 1000, ..limits() }), Code::TooLarge);
    let missing = Decoder::new(dir.path().join("no-such-program"), limits());
    let error = inspect_in(&missing, dir.path(), std::slice::from_ref(&clip))[0].clone().unwrap_err();
    assert!(!error.code.is_about_the_clip(), "{error}");
}

#[test]
fn larger_frames_come_from_the_clip_itself() {
    let dir = tempfile::tempdir().unwrap();
    for (seconds, name) in [(4, "short.mp4"), (24, "long.mp4")] {
        let clip = brightening(dir.path(), seconds, "-g 25", name);
        for n in [1, 4] {
            let frames = decoder().frames(&clip, n, 80).unwrap();
            assert_eq!(frames.len(), n);
            for (k, frame) in frames.iter().enumerate() {
                assert_eq!((frame.width, frame.height), (120, 80));
                let mean = frame.data.iter().map(|b| f64::from(*b)).sum::<f64>() / frame.data.len() as f64;
                let expected = 255.0 * (k as f64 + 0.5) / n as f64;
                assert!((mean - expected).abs() < 17.0, "{name}, frame {k} of {n}: {mean}, not {expected}");
            }
        }
    }
}
