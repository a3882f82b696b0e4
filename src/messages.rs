//! Every word people read, in their language. The catalogues `messages/en.toml` and
//! `messages/zh-CN.toml` are compiled in; tests hold that they have the same keys and the same
//! `{parameters}`, and that every key used in code, templates and scripts exists.
//!
//! Machine-readable codes (error codes, states, stages) stay codes; this file words them.

mod issues;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::domain::{Note, Reason, Taxonomy};

pub use issues::issue;

/// A language of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    #[default]
    En,
    ZhCn,
}

static EN: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| catalogue(include_str!("messages/en.toml")));
static ZH_CN: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| catalogue(include_str!("messages/zh-CN.toml")));

fn catalogue(source: &str) -> BTreeMap<String, String> {
    fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
        for (key, value) in table {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::String(text) => {
                    into.insert(path, text.clone());
                }
                toml::Value::Table(inner) => flatten(&path, inner, into),
                other => panic!("message {path} is {}, not text", other.type_str()),
            }
        }
    }
    let table: toml::Table = source.parse().expect("the compiled-in catalogue is TOML; a test reads it");
    let mut map = BTreeMap::new();
    flatten("", &table, &mut map);
    map
}

impl Lang {
    pub const ALL: [Lang; 2] = [Self::En, Self::ZhCn];

    /// BCP 47 tag; also the language key of taxonomy names.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::ZhCn => "zh-CN",
        }
    }

    /// The language that a tag such as `zh`, `zh_CN.UTF-8` or `en-GB` asks for.
    pub fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_', '.']).next().unwrap_or("").trim().to_ascii_lowercase();
        match primary.as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::ZhCn),
            _ => None,
        }
    }

    /// The best of an `Accept-Language` header; English when none fits.
    pub fn negotiate(accept: &str) -> Self {
        accept
            .split(',')
            .filter_map(|part| {
                let mut pieces = part.split(';');
                let lang = Self::parse(pieces.next().unwrap_or(""))?;
                let q = pieces
                    .find_map(|p| p.trim().strip_prefix("q=")?.trim().parse::<f32>().ok())
                    .unwrap_or(1.0);
                (q > 0.0).then_some((lang, q))
            })
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map_or(Self::En, |(lang, _)| lang)
    }

    /// What the command line speaks: `TAMIS_LANG`, else the locale.
    pub fn of_terminal() -> Self {
        ["TAMIS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .and_then(|value| Self::parse(&value))
            .unwrap_or_default()
    }

    fn catalogue(self) -> &'static BTreeMap<String, String> {
        match self {
            Self::En => &EN,
            Self::ZhCn => &ZH_CN,
        }
    }

    /// The message, if the catalogue has it: for codes that come from stored data.
    pub fn find(self, key: &str) -> Option<&'static str> {
        self.catalogue().get(key).map(String::as_str)
    }

    /// The message; an unknown key reads as itself.
    pub fn text(self, key: &str) -> &str {
        match self.find(key) {
            Some(text) => text,
            None => key,
        }
    }

    /// The message with its `{name}` parameters filled in.
    pub fn fill(self, key: &str, parameters: &[(&str, &str)]) -> String {
        let text = self.text(key);
        let mut out = String::with_capacity(text.len() + 32);
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let Some(close) = rest[open..].find('}') else { break };
            let name = &rest[open + 1..open + close];
            match parameters.iter().find(|(n, _)| *n == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&rest[open..=open + close]),
            }
            rest = &rest[open + close + 1..];
        }
        out.push_str(rest);
        out
    }

    /// [`Lang::fill`] with one parameter of any kind.
    pub fn t1(self, key: &str, name: &str, value: impl std::fmt::Display) -> String {
        self.fill(key, &[(name, &value.to_string())])
    }

    /// [`Lang::fill`] with two parameters of any kind.
    pub fn t2(
        self,
        key: &str,
        a: &str,
        first: impl std::fmt::Display,
        b: &str,
        second: impl std::fmt::Display,
    ) -> String {
        self.fill(key, &[(a, &first.to_string()), (b, &second.to_string())])
    }

    /// A counted noun: the catalogue has `key.one` and `key.other` with the parameter `{n}`.
    pub fn count(self, key: &str, n: i64) -> String {
        let form = if n == 1 { "one" } else { "other" };
        self.fill(&format!("{key}.{form}"), &[("n", &self.number(n))])
    }

    /// `12,345`
    pub fn number(self, n: i64) -> String {
        let digits = n.unsigned_abs().to_string();
        let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
        if n < 0 {
            out.push('−');
        }
        for (i, d) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push(',');
            }
            out.push(d);
        }
        out
    }

    /// A share in [0, 1]: `0%`, `<1%`, `91%`, `>99%`, `100%`. Only exact ends read as 0 and 100.
    pub fn percent(self, share: f32) -> String {
        match share {
            s if !s.is_finite() => "–".into(),
            s if s <= 0.0 => "0%".into(),
            s if s >= 1.0 => "100%".into(),
            s if s < 0.01 => "<1%".into(),
            s if s > 0.99 => ">99%".into(),
            s => format!("{:.0}%", s * 100.0),
        }
    }

    /// The messages that scripts in the browser use, as a JSON object safe inside a script element.
    pub(crate) fn for_scripts(self) -> &'static str {
        static SCRIPTS: LazyLock<[String; 2]> = LazyLock::new(|| Lang::ALL.map(Lang::script_messages));
        &SCRIPTS[self as usize]
    }

    fn script_messages(self) -> String {
        let wanted = [
            "js.",
            "keys.",
            "stage.",
            "job_state.",
            "job_kind.",
            "decision.",
            "note.",
            "doing.",
            "media_error.",
            "import_error.",
        ];
        let chosen: BTreeMap<&str, &str> = self
            .catalogue()
            .iter()
            .filter(|(k, _)| wanted.iter().any(|w| k.starts_with(w)))
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        serde_json::json!(chosen).to_string().replace('<', "\\u003c")
    }
}

/// A note in words. A code that the catalogue does not have (of another version) reads as itself with
/// its parameters.
pub fn note(lang: Lang, note: &Note) -> String {
    let args: Vec<(&str, &str)> = note
        .args
        .iter()
        .map(|(name, value)| {
            (name.as_str(), value.strip_prefix('@').map_or(value.as_str(), |key| lang.text(key)))
        })
        .collect();
    let key = format!("note.{}", note.code);
    if lang.find(&key).is_some() {
        return lang.fill(&key, &args);
    }
    let listed: Vec<String> = args.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{}: {}", note.code, listed.join(", "))
}

/// What was said, in the reader's language where it is a note and else as it was written.
pub fn said(lang: Lang, known: Option<&Note>, written: &str) -> String {
    known.map_or_else(|| written.to_owned(), |n| note(lang, n))
}

/// The model stands by a label from this probability on.
const SURE: f32 = 0.75;

/// Why a sample was flagged, in one plain sentence of at most two pieces of evidence, the strongest
/// kinds first: model against label, nearest clips against label, cluster against label.
pub fn reason(lang: Lang, r: &Reason, taxonomy: &Taxonomy) -> String {
    let tag = lang.tag();
    let name = |id: &str| -> String {
        // "Other" exists under many parents: then only the whole path tells the two apart
        let twin = [&r.given, &r.suggested, &r.cluster_class]
            .into_iter()
            .any(|o| o != id && taxonomy.name(o, tag) == taxonomy.name(id, tag));
        let shown = if twin { taxonomy.path_name(id, tag) } else { taxonomy.name(id, tag).to_owned() };
        lang.fill("reason.quoted", &[("name", &shown)])
    };
    let given = name(&r.given);
    let suggested = name(&r.suggested);
    let (p_given, p_suggested) = (lang.percent(r.p_given), lang.percent(r.p_suggested));
    let (agree, support, k) =
        (r.neighbours_agree.to_string(), r.neighbours_suggested.to_string(), r.neighbours.to_string());
    let agreement = f32::from(r.neighbours_agree) / f32::from(r.neighbours.max(1));
    let share = lang.percent(r.cluster_share);
    let cluster = name(&r.cluster_class);
    let mut all: Vec<(&str, &str)> = vec![
        ("given", &given),
        ("suggested", &suggested),
        ("p_given", &p_given),
        ("p_suggested", &p_suggested),
        ("agree", &agree),
        ("support", &support),
        ("k", &k),
        ("share", &share),
        ("cluster", &cluster),
    ];
    all.dedup();

    let model_agrees = r.given == r.suggested || r.p_given >= SURE;
    let near_against = r.neighbours > 0 && agreement <= 0.3;
    let cluster_against = r.cluster_class != r.given && r.cluster_share <= 0.25;
    let mut keys = vec![match (model_agrees, r.p_suggested - r.p_given) {
        (true, _) if near_against || cluster_against => "reason.model_agrees_but",
        (true, _) => "reason.model_agrees",
        (false, gap) if gap > 0.0 => "reason.model",
        (false, _) => "reason.model_torn",
    }];
    if r.neighbours > 0 && r.neighbours_suggested > r.neighbours_agree && !model_agrees {
        keys.push(if r.neighbours_suggested == r.neighbours {
            "reason.near_all_suggested"
        } else {
            "reason.near_suggested"
        });
    } else if near_against {
        keys.push(if r.neighbours_agree == 0 { "reason.near_none" } else { "reason.near_few" });
    } else if cluster_against {
        keys.push("reason.cluster");
    } else if r.neighbours > 0 && !model_agrees {
        keys.push("reason.near_agree");
    }
    let mut sentence = String::new();
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            sentence.push_str(lang.text("reason.and"));
        }
        let _ = write!(sentence, "{}", lang.fill(key, &all));
    }
    sentence.push_str(lang.text("reason.end"));
    sentence
}

#[cfg(test)]
#[path = "messages/tests.rs"]
mod tests;
