use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

type Results = Vec<Result<Row, RowError>>;

fn read_as(bytes: impl Into<Vec<u8>>, name: &str, options: &ReadOptions) -> Results {
    reader(Box::new(Cursor::new(bytes.into())), name, Format::Auto, options).collect()
}

fn read(bytes: impl Into<Vec<u8>>, name: &str) -> Results {
    read_as(bytes, name, &ReadOptions::default())
}

fn ids(rows: &Results) -> Vec<&str> {
    rows.iter().flatten().map(|r| r.external_id.as_str()).collect()
}

/// (code, line, field) of each error.
fn faults(rows: &Results) -> Vec<(&str, u64, Option<&str>)> {
    rows.iter().filter_map(|r| r.as_ref().err()).map(|e| (e.code, e.line, e.field.as_deref())).collect()
}

#[test]
fn the_challenge_shape_and_the_superset_read() {
    let text = r#"[
 {"id": "843", "title": "标题", "asr": "你好", "ocr": [{"time": 0, "text": "a"}, {"time": "2.5", "text": "b"}],
  "category_id": "0102", "extra": {"x": [1]}},
 {"id": 7, "video": "clips/v.mp4", "label": null, "split": "val", "ocr": "one line", "title": null}
]"#;
    let rows: Vec<Row> = read(text, "labeled.json").into_iter().map(Result::unwrap).collect();
    let line = |time, text: &str| OcrLine { time, text: text.into() };
    assert_eq!(
        rows[0],
        Row {
            line: 2,
            external_id: "843".into(),
            title: Some("标题".into()),
            asr: Some("你好".into()),
            ocr: Some(vec![line(0.0, "a"), line(2.5, "b")]),
            label: Some("0102".into()),
            video: None,
            split: None,
        }
    );
    assert_eq!(
        rows[1],
        Row {
            line: 4,
            external_id: "7".into(),
            // null says that there is none; a missing key says nothing
            title: Some(String::new()),
            asr: None,
            ocr: Some(vec![line(0.0, "one line")]),
            label: None,
            video: Some("clips/v.mp4".into()),
            split: Some(Split::Validation),
        }
    );
}

#[test]
fn array_lines_and_csv_give_the_same_rows() {
    let lines = "\u{feff}{\"id\":\"a\",\"title\":\"x, \\\"y\\\"\\nz\",\"label\":\"c\"}\r\n\r\n{\"id\":\"b\",\"ocr\":[\"o\",\"p\"]}";
    let array = "[{\"id\":\"a\",\"title\":\"x, \\\"y\\\"\\nz\",\"label\":\"c\"},\r\n\r\n{\"id\":\"b\",\"ocr\":[\"o\",\"p\"]}]\n";
    let csv = "ID, title ,asr,ocr,category_id,path\r\na,\"x, \"\"y\"\"\nz\",,,c,\r\nb,,,\"[\"\"o\"\",\"\"p\"\"]\",,\r\n";
    let plain = |rows: Results| rows.into_iter().map(|r| Row { line: 0, ..r.unwrap() }).collect::<Vec<_>>();
    let want = plain(read(lines, "a.jsonl"));
    assert_eq!(want.len(), 2);
    assert_eq!(want[0].title.as_deref(), Some("x, \"y\"\nz"));
    assert_eq!(want[1].ocr.as_ref().map(Vec::len), Some(2));
    assert_eq!(plain(read(array, "a.json")), want);
    // a CSV has every column in every row: an empty cell says that there is none
    let whole = |r: &Row| Row {
        title: Some(r.title.clone().unwrap_or_default()),
        asr: Some(r.asr.clone().unwrap_or_default()),
        ocr: Some(r.ocr.clone().unwrap_or_default()),
        ..r.clone()
    };
    assert_eq!(plain(read(csv, "a.csv")), want.iter().map(whole).collect::<Vec<_>>());
    // Lines of a CSV are counted through quotes.
    assert_eq!(read(csv, "a.csv")[1].as_ref().unwrap().line, 4);
    // The name does not decide between array and lines; without an extension the first byte does.
    assert_eq!(plain(read(lines, "a.json")), want);
    assert_eq!(plain(read(array, "upload")), want);
    assert_eq!(plain(read(csv, "upload")), want.iter().map(whole).collect::<Vec<_>>());
}

#[test]
fn csv_columns_can_be_named() {
    let columns = [("id", "vid"), ("label", "cat")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let options = ReadOptions { columns, ..Default::default() };
    let rows =
        read_as("vid;cat;label\nx;1;2\n", "a.csv", &ReadOptions { delimiter: Some(b';'), ..options.clone() });
    assert_eq!(rows[0].as_ref().unwrap().label.as_deref(), Some("1"));
    let tab = read_as("vid\tcat\nx\t1", "a.tsv", &options);
    assert_eq!(tab[0].as_ref().unwrap().label.as_deref(), Some("1"));
    assert_eq!(faults(&read_as("vid,x\n", "a.csv", &options)), [("missing_column", 1, Some("label"))]);
    let columns = [("colour".to_owned(), "x".to_owned())].into();
    let options = ReadOptions { columns, ..Default::default() };
    assert_eq!(faults(&read_as("id,x\n", "a.csv", &options)), [("unknown_field", 1, None)]);
    assert_eq!(faults(&read("title\nx\n", "a.csv")), [("missing_column", 1, Some("id"))]);
    assert_eq!(faults(&read("id,id\nx,y\n", "a.csv")), [("duplicate_column", 1, None)]);
}

#[test]
fn bad_lines_are_named_and_good_ones_go_on() {
    let mut text =
        b"{\"id\":\"a\"}\n{\"id\":\"b\",\"title\":\"\xff\"}\n{\"id\":\"c\"\n{\"title\":\"d\"}\n".to_vec();
    text.extend_from_slice(
        b"{\"id\":\"\"}\n{\"id\":true}\n{\"id\":\"e\",\"title\":5}\n{\"id\":\"f\",\"title\":\"x\\u0000y\"}\n",
    );
    text.extend_from_slice(
        b"{\"id\":\"g\0\"}\n{\"id\":\"h\",\"id\":\"i\"}\n[1]\n{\"id\":\"j\",\"split\":\"best\"}\n",
    );
    text.extend_from_slice(b"{\"id\":\"k\\n\"}\n{\"id\":\"l\",\"ocr\":{\"a\":1}}\n{\"id\":\"m\",\"ocr\":[{\"time\":\"x\",\"text\":\"\"}]}\n");
    text.extend_from_slice(
        b"{\"id\":\"n\",\"label\":\"a\",\"category_id\":\"b\"}\n{\"id\":1.5}\n{\"id\":\"z\"}\n{\"id\": \"tru",
    );
    let rows = read(text, "a.jsonl");
    assert_eq!(ids(&rows), ["a", "z"]);
    assert_eq!(
        faults(&rows),
        [
            ("not_utf8", 2, None),
            ("truncated_json", 3, None),
            ("missing_id", 4, Some("id")),
            ("missing_id", 5, Some("id")),
            ("wrong_type", 6, Some("id")),
            ("wrong_type", 7, Some("title")),
            ("nul_byte", 8, Some("title")),
            ("nul_byte", 9, None),
            ("duplicate_key", 10, Some("id")),
            ("wrong_type", 11, None),
            ("unknown_split", 12, Some("split")),
            ("control_character", 13, Some("id")),
            ("wrong_type", 14, Some("ocr")),
            ("bad_time", 15, Some("ocr")),
            ("duplicate_key", 16, Some("label")),
            ("wrong_type", 17, Some("id")),
            ("truncated_json", 19, None),
        ]
    );
}

#[test]
fn an_array_goes_on_after_a_bad_element_and_says_where_it_was_cut() {
    let text = "[\n  {\"id\":\"a\"},\n  {\"id\":\"b\" \"x\"},\n  {\"id\":\"c\",\"title\":\"open},\n    {\"id\":\"no\"},\n  {\"id\":\"d\"},\n  {\"id\":\n";
    let rows = read(text, "a.json");
    assert_eq!(ids(&rows), ["a", "d"]);
    assert_eq!(faults(&rows), [("bad_json", 3, None), ("bad_json", 4, None), ("truncated_json", 7, None)]);
    assert!(rows[4].as_ref().unwrap_err().message.contains("line 8"));
    // Between two elements, and behind the array.
    assert_eq!(faults(&read("[{\"id\":\"a\"},\n", "a.json")), [("truncated_json", 2, None)]);
    assert_eq!(faults(&read("[{\"id\":\"a\"}]\n\n{}", "a.json")), [("trailing_data", 3, None)]);
    assert_eq!(faults(&read("[{\"id\":\"a\"}, 5, \"x\", null]", "a.json")).len(), 3);
    // An open string in a file of one line: nothing to go on with.
    let rows = read("[{\"id\":\"a\"}, {\"id\":\"b}, {\"id\":\"c\"}]\n", "a.json");
    assert_eq!((ids(&rows), rows.len()), (vec!["a"], 2));
}

#[test]
fn empty_files_say_so() {
    for (text, name) in
        [("", "a.json"), (" \n", "a.jsonl"), ("\u{feff}", "a.csv"), ("[]", "a.json"), ("id,title\n", "a.csv")]
    {
        assert_eq!(faults(&read(text, name)), [("empty_file", 1, None)], "{name}");
    }
    assert_eq!(faults(&read(b"\xff\xfe{\0".to_vec(), "a.json")), [("not_utf8", 1, None)]);
    let rows = reader(Box::new(&b"{\"id\":1}"[..]), "a", Format::Json, &ReadOptions::default()).collect();
    assert_eq!(faults(&rows), [("bad_json", 1, None)]);
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| format!("{{\"id\":\"a\",\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let text = format!("{}\n{}\n{}\n{{\"id\":\"b\"}}", deep(31), deep(32), deep(500_000));
    let rows = read(text.clone(), "a.jsonl");
    assert_eq!(ids(&rows), ["a", "b"]);
    assert_eq!(faults(&rows), [("too_deep", 2, None), ("too_deep", 3, None)]);
    let rows = read(format!("[{}]", text.replace('\n', ",\n")), "a.json");
    assert_eq!((ids(&rows), faults(&rows).len()), (vec!["a", "b"], 2));
}

#[test]
fn csv_faults_are_named() {
    let mut text = b"id,title,ocr\na,x\n\xff,x,\nb,\"q\"\"\0\",\nc,x,\"[{\"\"time\"\":1\"\n,x,\n".to_vec();
    text.extend_from_slice(b"d,\"x\"y,[not json]\ne,\"open\n\nf,x,\n");
    let rows = read(text, "a.csv");
    assert_eq!(ids(&rows), ["d"]);
    let d = rows[5].as_ref().unwrap();
    assert_eq!((d.title.as_deref(), d.ocr.as_ref().unwrap()[0].text.as_str()), (Some("xy"), "[not json]"));
    assert_eq!(
        faults(&rows),
        [
            ("column_count", 2, None),
            ("not_utf8", 3, None),
            ("nul_byte", 4, Some("title")),
            ("truncated_json", 5, Some("ocr")),
            ("missing_id", 6, Some("id")),
            ("unclosed_quote", 8, None),
        ]
    );
}

/// Gives `head`, then `n` times `b`, then `tail`, and counts what was taken.
struct Long {
    parts: Vec<(Vec<u8>, usize)>,
    taken: Arc<AtomicUsize>,
}

impl Read for Long {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.parts.first().is_some_and(|(_, n)| *n == 0) {
            self.parts.remove(0);
        }
        let Some((bytes, times)) = self.parts.first_mut() else { return Ok(0) };
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        if n == bytes.len() {
            *times -= 1;
        } else {
            // A short buffer: the rest comes next.
            let rest = bytes[n..].to_vec();
            *times -= 1;
            self.parts.insert(0, (rest, 1));
        }
        self.taken.fetch_add(n, Ordering::Relaxed);
        Ok(n)
    }
}

#[test]
fn an_overlong_row_is_skipped_without_being_held() {
    const MB: usize = 1 << 20;
    let cases = [
        ("a.jsonl", "{\"id\":\"a\"}\n{\"id\":\"b\",\"title\":\"", "\"}\n{\"id\":\"c\"}\n"),
        ("a.json", "[{\"id\":\"a\"},\n{\"id\":\"b\",\"title\":\"", "\"},\n{\"id\":\"c\"}]"),
        ("a.csv", "id,title\na,\nb,\"", "\"\nc,\n"),
    ];
    for (name, head, tail) in cases {
        let taken = Arc::new(AtomicUsize::new(0));
        let parts = vec![
            (head.as_bytes().to_vec(), 1),
            (vec![b'x'; 64 << 10], 10 * MB / (64 << 10)),
            (tail.as_bytes().to_vec(), 1),
        ];
        let source = Long { parts, taken: taken.clone() };
        let mut rows = reader(Box::new(source), name, Format::Auto, &ReadOptions::default());
        let all: Results = rows.by_ref().collect();
        assert_eq!(ids(&all), ["a", "c"], "{name}");
        let line = if name == "a.csv" { 3 } else { 2 };
        assert_eq!(faults(&all), [("row_too_large", line, None)], "{name}");
        assert!(taken.load(Ordering::Relaxed) > 10 * MB);
        // One row and a growth step at most, of ten megabytes that came by.
        assert!(rows.buffer.capacity() <= 8 * MB + 8, "{name} held {}", rows.buffer.capacity());
    }
}

#[test]
fn long_values_are_errors_with_their_field() {
    let title = |n: usize| format!("{{\"id\":\"a\",\"title\":\"{}\"}}\n", "标".repeat(n));
    let rows = read(title(4_096) + &title(4_097), "a.jsonl");
    assert_eq!((rows.iter().flatten().count(), faults(&rows)), (1, vec![("too_long", 2, Some("title"))]));
    assert!(rows[1].as_ref().unwrap_err().message.chars().count() < 200);
    let id = |n: usize| format!("{{\"id\":\"{}\"}}\n", "i".repeat(n));
    assert_eq!(faults(&read(id(200) + &id(201), "a.jsonl")), [("too_long", 2, Some("id"))]);
    let ocr = |n: usize| format!("{{\"id\":\"a\",\"ocr\":[{}\"x\"]}}\n", "\"x\",".repeat(n - 1));
    assert_eq!(faults(&read(ocr(2_000) + &ocr(2_001), "a.jsonl")), [("too_many_lines", 2, Some("ocr"))]);
}

#[test]
fn a_failing_source_ends_the_stream() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk on fire"))
        }
    }
    for (name, head) in
        [("a.jsonl", "{\"id\":1}\n"), ("a.json", "[{\"id\":1},\n"), ("a.csv", "id\n1\n"), ("b.csv", "")]
    {
        // Beyond the first look, so that the failure meets the streaming part too.
        let head = format!("{head}{}", " ".repeat(HEAD_BYTES as usize));
        let source = Cursor::new(head.into_bytes()).chain(Fails);
        let mut rows = reader(Box::new(source), name, Format::Auto, &ReadOptions::default());
        let all: Results = rows.by_ref().take(10).collect();
        assert_eq!(all.last().unwrap().as_ref().unwrap_err().code, "read_failed", "{name}");
        assert!(rows.next().is_none());
    }
}

#[test]
fn the_shared_data_sets_read_whole() {
    let Some(data) = crate::exchange::shared_data() else { return };
    let open = |path: &str| Box::new(std::fs::File::open(data.join(path)).unwrap());
    let options = ReadOptions::default();
    let clips: Vec<Row> =
        reader(open("video-mix/annotations.jsonl"), "annotations.jsonl", Format::Auto, &options)
            .collect::<Result<_, _>>()
            .unwrap();
    assert_eq!(clips.len(), 671);
    assert_eq!(clips.iter().filter(|r| r.label.is_none()).count(), 125);
    assert!(
        clips.iter().all(|r| r.video.as_deref() == Some(format!("clips/{}.mp4", r.external_id).as_str()))
    );
    let titles: Vec<Row> = reader(open("text-nlpcc2017/titles.csv"), "titles.csv", Format::Auto, &options)
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(titles.len(), 18_000);
    assert!(titles.iter().all(|r| r.title.as_deref().is_some_and(|t| !t.is_empty()) && r.label.is_some()));
}

/// Not a check: prints rows a second. `cargo test --lib exchange::annotations::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "measures, asserts only the count"]
fn speed() {
    const ROWS: usize = 200_000;
    let row = |i: usize| {
        let mut s = format!(
            "{{\"id\": \"v{i:06}\", \"video\": \"clips/v{i:06}.mp4\", \"title\": \"中华台北羽球，王适娴输掉最后一线生机 {i}\", "
        );
        s.push_str("\"asr\": \"眼线在睫毛根部开始画，这款睫毛膏不容易晕\", \"ocr\": [{\"time\": 1.88, \"text\": \"豚跳现场\"}], \"label\": \"sign\"}");
        s
    };
    let lines: Vec<String> = (0..ROWS).map(row).collect();
    let csv: Vec<String> = (0..ROWS).map(|i| format!("v{i:06},\"中华台北羽球，王适娴\"\"输掉\"\"最后一线生机 {i}\",眼线在睫毛根部开始画，这款睫毛膏不容易晕,,sign,clips/v{i:06}.mp4")).collect();
    for (name, text) in [
        ("a.jsonl", lines.join("\n")),
        ("a.json", format!("[{}]", lines.join(",\n"))),
        ("a.csv", format!("id,title,asr,ocr,label,video\n{}\n", csv.join("\n"))),
    ] {
        let megabytes = text.len() as f64 / 1e6;
        let start = std::time::Instant::now();
        let source = Box::new(Cursor::new(text.into_bytes()));
        let n = reader(source, name, Format::Auto, &ReadOptions::default()).filter(Result::is_ok).count();
        let s = start.elapsed().as_secs_f64();
        println!("{name}: {:.0} rows/s, {:.0} MB/s", n as f64 / s, megabytes / s);
        assert_eq!(n, ROWS);
    }
}

/// JSON-like trees as text.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|x| format!("{x:e}")),
        ".{0,8}".prop_map(|s| serde_json::to_string(&s).unwrap()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop_oneof![
            Just("id"),
            Just("title"),
            Just("ocr"),
            Just("time"),
            Just("text"),
            Just("label"),
            Just("x")
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|v| format!("[{}]", v.join(","))),
            proptest::collection::vec((key, inner), 0..6).prop_map(|v| {
                let pairs: Vec<String> = v.into_iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", pairs.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics_and_every_element_answers(values in proptest::collection::vec(json_text(), 1..8)) {
        let rows = read(format!("[{}]", values.join(", ")), "a.json");
        prop_assert_eq!(rows.len(), values.len());
        let flat: Vec<String> = values.iter().map(|v| v.replace('\n', " ")).collect();
        let lines = read(flat.join("\n"), "a.jsonl");
        if lines.len() == values.len() {
            for (a, b) in rows.iter().flatten().zip(lines.iter().flatten()) {
                prop_assert_eq!(&a.external_id, &b.external_id);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0usize..60) {
        let mut near = b"[{\"id\":\"a\",\"ocr\":[{\"time\":1,\"text\":\"t\"}]},\n{\"id\":".to_vec();
        near.truncate(cut);
        near.extend_from_slice(&bytes);
        for name in ["a.json", "a.jsonl", "a.csv", "a"] {
            for source in [bytes.clone(), near.clone()] {
                let n = source.len();
                prop_assert!(read(source, name).len() <= n + 2);
            }
        }
        let _ = crate::exchange::taxonomy::read_taxonomy(&bytes, "t.json");
        let _ = crate::exchange::taxonomy::read_taxonomy(&bytes, "t.csv");
    }

    #[test]
    fn csv_rows_read_back_what_a_csv_writer_wrote(
        cells in proptest::collection::vec(("[a-z0-9]{1,5}", "[^\u{0}]{0,12}"), 1..10),
    ) {
        let mut w = ::csv::Writer::from_writer(Vec::new());
        w.write_record(["id", "title"]).unwrap();
        for (id, title) in &cells {
            w.write_record([id, title]).unwrap();
        }
        let rows = read(w.into_inner().unwrap(), "a.csv");
        let got: Vec<(String, String)> =
            rows.into_iter().map(|r| r.unwrap()).map(|r| (r.external_id, r.title.unwrap())).collect();
        prop_assert_eq!(got, cells);
    }
}
