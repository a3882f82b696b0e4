//! From how a decoder process ended and what it said to one stable error code and one line without
//! paths.

use super::{
    error::{MediaError, MediaErrorCode as Code},
    sandbox::{Ending, Finished},
};

/// The error for a process that did not do what was asked.
pub(crate) fn explain(finished: &Finished, otherwise: &str) -> MediaError {
    let said = last_words(&finished.stderr);
    let code = match finished.ending {
        Ending::TimedOut => return MediaError::new(Code::TimedOut, "the decoder's time was used up"),
        Ending::TooMuchOutput => return MediaError::new(Code::TooLarge, "the decoder wrote too much"),
        Ending::Signalled(signal) => {
            return MediaError::new(Code::DecodeFailed, format!("the decoder died of signal {signal}"));
        }
        Ending::Exited(_) if finished.stderr.contains("max pixel count") => Code::TooLarge,
        Ending::Exited(_) if is_unsupported(&finished.stderr) => Code::UnsupportedFormat,
        Ending::Exited(_) => Code::DecodeFailed,
    };
    MediaError::new(code, said.unwrap_or_else(|| otherwise.to_owned()))
}

fn is_unsupported(stderr: &str) -> bool {
    ["not on whitelist", "Unknown decoder", "no decoder", "Decoder not found", "Decoding requested, but no"]
        .iter()
        .any(|s| stderr.contains(s))
        || stderr.lines().any(|l| l.contains("Decoder (codec") && l.contains("not found"))
}

/// The most telling line of the log: the first complaint, without context prefix or path.
fn last_words(stderr: &str) -> Option<String> {
    const COMPLAINTS: [&str; 9] = [
        "not on whitelist",
        "not found",
        "Invalid",
        "invalid",
        "rror",
        "nsupported",
        "could not",
        "Could not",
        "Cannot",
    ];
    let line = stderr
        .lines()
        .filter(|l| !l.starts_with(' ') && !l.starts_with("Input #"))
        .find(|l| COMPLAINTS.iter().any(|c| l.contains(c)))?;
    let line = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ").map_or(line, |(_, said)| said),
        None => line,
    };
    // "file:/path: what": the path is no one's business.
    let line = match line.strip_prefix("file:") {
        Some(rest) => rest.rsplit_once(": ").map_or(rest, |(_, said)| said),
        None => line,
    };
    Some(line.split("file:/").next().unwrap_or(line).trim().to_owned()).filter(|l| !l.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_is_found_and_stripped() {
        let log = "Input #0, mov, from 'x':\n  title: Error\n[mov @ 0x55] moov atom not found\nfile:/a/b.mp4: Invalid data\n";
        assert_eq!(last_words(log).as_deref(), Some("moov atom not found"));
        assert_eq!(
            last_words("file:/a/b: c.mp4: Invalid data found\n").as_deref(),
            Some("Invalid data found")
        );
        assert_eq!(
            last_words("Error opening input file file:/a/b.mp4.\n").as_deref(),
            Some("Error opening input file")
        );
        assert_eq!(last_words("frame=1\n"), None);
    }
}
