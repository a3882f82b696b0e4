//! What a file is, from its first bytes: never from its name. Used for the `Content-Type` of a
//! served original and as the first gate before a decoder sees the bytes.

/// Content type of a supported container (MP4/QuickTime, WebM, Matroska, AVI, FLV, MPEG-TS) from
/// the first bytes of the file; `None` for everything else. 4 KiB are plenty, 12 bytes the least
/// (MPEG-TS: 377 to be told from chance).
pub fn sniff(head: &[u8]) -> Option<&'static str> {
    if let Some(kind) = head.get(4..8) {
        match kind {
            b"ftyp" => {
                let quicktime = head.get(8..12) == Some(b"qt  ");
                let still = matches!(head.get(8..12), Some(b"avif" | b"heic" | b"heix" | b"mif1"));
                return match (quicktime, still) {
                    (_, true) => None,
                    (true, _) => Some("video/quicktime"),
                    _ => Some("video/mp4"),
                };
            }
            // QuickTime files older than the `ftyp` box start with any of these atoms.
            b"moov" | b"mdat" | b"wide" | b"free" | b"skip" | b"pnot" => return Some("video/quicktime"),
            b"moof" | b"styp" | b"sidx" => return Some("video/mp4"),
            _ => {}
        }
    }
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        // EBML; the DocType ("webm" or "matroska") lies within the header's first bytes.
        let header = &head[..head.len().min(128)];
        return Some(if contains(header, b"webm") { "video/webm" } else { "video/x-matroska" });
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        return Some("video/x-msvideo");
    }
    if head.starts_with(b"FLV\x01") {
        return Some("video/x-flv");
    }
    if is_transport_stream(head) { Some("video/mp2t") } else { None }
}

/// MPEG-TS: a sync byte at the start of each packet of 188 bytes, or 192 with a leading time code.
fn is_transport_stream(head: &[u8]) -> bool {
    let synced =
        |first: usize, step: usize| (0..3).all(|k| head.get(first + k * step).is_some_and(|b| *b == 0x47));
    synced(0, 188) || synced(4, 192)
}

/// A known format that is not accepted as a clip, named for the error message.
pub(crate) fn known_but_refused(head: &[u8]) -> Option<&'static str> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let text_head = String::from_utf8_lossy(&head[..head.len().min(64)]).trim_start().to_ascii_lowercase();
    if starts(b"GIF8") {
        Some("GIF picture")
    } else if starts(b"\x89PNG") {
        Some("PNG picture")
    } else if starts(&[0xff, 0xd8, 0xff]) {
        Some("JPEG picture")
    } else if starts(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some("WebP picture")
    } else if head.get(4..8) == Some(b"ftyp") && sniff(head).is_none() {
        Some("HEIF or AVIF picture")
    } else if starts(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
        Some("WAV sound")
    } else if starts(b"ID3") || starts(&[0xff, 0xfb]) || starts(b"fLaC") {
        Some("sound file")
    } else if starts(b"OggS") {
        Some("Ogg file")
    } else if starts(&[0x30, 0x26, 0xb2, 0x75]) {
        Some("ASF or WMV file")
    } else if starts(&[0, 0, 1, 0xba]) || starts(&[0, 0, 1, 0xb3]) {
        Some("MPEG program stream")
    } else if text_head.starts_with("#extm3u") || text_head.starts_with("ffconcat") {
        Some("playlist")
    } else {
        None
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_by_their_magic() {
        assert_eq!(sniff(b"\0\0\0\x20ftypisom\0\0\x02\0"), Some("video/mp4"));
        assert_eq!(sniff(b"\0\0\0\x14ftypqt  \0\0\x02\0"), Some("video/quicktime"));
        assert_eq!(sniff(b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm"), Some("video/webm"));
        assert_eq!(sniff(b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska"), Some("video/x-matroska"));
        assert_eq!(sniff(b"RIFF\0\0\0\0AVI LIST"), Some("video/x-msvideo"));
        assert_eq!(sniff(b"FLV\x01\x05\0\0\0\x09"), Some("video/x-flv"));
        let mut ts = vec![0u8; 600];
        for k in 0..4 {
            ts[k * 188] = 0x47;
        }
        assert_eq!(sniff(&ts), Some("video/mp2t"));
        ts[188] = 0;
        assert_eq!(sniff(&ts), None);
    }

    #[test]
    fn other_things_are_not_videos() {
        for head in [&b""[..], b"hello, world, this is text", b"GIF89a....", b"#EXTM3U\n#EXTINF:3,\n", b"G"] {
            assert_eq!(sniff(head), None, "{head:?}");
        }
        assert_eq!(known_but_refused(b"GIF89a"), Some("GIF picture"));
        assert_eq!(known_but_refused(b"\n #EXTM3U\n"), Some("playlist"));
        assert_eq!(known_but_refused(b"plain text"), None);
    }
}
