use super::*;

fn read(text: &str) -> Result<Taxonomy, RowError> {
    read_taxonomy(text.as_bytes(), "t.json")
}

fn ids(t: &Taxonomy) -> Vec<&str> {
    t.class_ids().collect()
}

#[test]
fn the_challenge_tree_has_23_and_200() {
    let t = builtin("wechat2022").unwrap();
    assert_eq!((t.roots().len(), t.n_classes(), t.depth()), (23, 200, 2));
    assert_eq!(t.class_id(0), "0000");
    assert_eq!(t.class_id(199), "2223");
    // Its class order is the sorted list of ids; the first two digits are the parent.
    assert!(ids(&t).windows(2).all(|w| w[0] < w[1]));
    assert!(t.class_ids().all(|c| t.root_of(c) == Some(&c[..2])));
    for (top, n) in [("05", 3), ("13", 12), ("20", 16), ("21", 24)] {
        assert_eq!(t.class_ids().filter(|c| c.starts_with(top)).count(), n, "{top}");
    }
    assert!(builtin("other").is_none());
}

#[test]
fn every_shape_gives_the_same_tree() {
    let list = r#"{"nodes":[{"id":"s","name":"Sport","name_zh":"运动","parent":null,"level":1},
        {"id":"b","name":"B","parent":"s","level":2},{"id":"a","name":"A","parent":"s"},
        {"id":"m","names":{"zh_Hans":"音乐","en-US":"Music"},"parent":""}]}"#;
    let t = read(list).unwrap();
    assert_eq!(ids(&t), ["b", "a", "m"]);
    assert_eq!((t.name("s", "zh-CN"), t.name("m", "zh-CN"), t.name("m", "en")), ("运动", "音乐", "Music"));
    let tree = r#"[{"id":"s","name":"Sport","children":[{"id":"b","children":[]},{"id":"a"}]},{"id":"m"}]"#;
    assert_eq!(read(tree).unwrap().hash(), t.hash());
    assert_eq!(read(r#"{"s":{"b":{},"a":null},"m":{}}"#).unwrap().hash(), t.hash());
    assert_eq!(read(r#"{"s":["b","a"],"m":[]}"#).unwrap().hash(), t.hash());
    let csv = "\u{feff}id,parent,name,name_zh\r\ns,,Sport,运动\r\nb,s,B,\r\na,s,A,\r\nm,,\"Music\",音乐\r\n";
    let c = read_taxonomy(csv.as_bytes(), "t.csv").unwrap();
    assert_eq!((c.hash(), c.name("m", "zh-CN")), (t.hash(), "音乐"));
    assert_eq!(ids(&read(r#"["x","y"]"#).unwrap()), ["x", "y"]);
    let root = read(r#"{"name":"all","children":[{"name":"z"},{"name":"y"}]}"#).unwrap();
    assert_eq!((root.roots(), ids(&root)), (vec!["all"], vec!["z", "y"]));
}

#[test]
fn names_shared_by_siblings_of_different_parents_become_paths() {
    let t = read(r#"{"cats":["other","tabby"],"dogs":["other"]}"#).unwrap();
    assert_eq!(ids(&t), ["cats/other", "tabby", "dogs/other"]);
    assert_eq!(t.name("dogs/other", "en"), "other");
}

#[test]
fn bad_files_say_where() {
    let check = |text: &str, code: &str, line: u64| {
        let e = read(text).unwrap_err();
        assert_eq!((e.code, e.line, e.file.as_str()), (code, line, "t.json"), "{text}: {e}");
    };
    check("", "empty_file", 1);
    check(" \n ", "empty_file", 1);
    check("{\"nodes\":[\n{\"id\":", "truncated_json", 2);
    check("{\n\"a\" 1}", "bad_json", 2);
    check("[{\"id\":\"a\"},\n{\"id\":\"a\"}]", "taxonomy_invalid", 2);
    check("[{\"id\":\"a\"},\n\n{\"id\":\"b\",\"parent\":\"zz\"}]", "taxonomy_invalid", 3);
    check("[{\"id\":\"a\",\"level\":2},{\"id\":\"b\"}]", "level_mismatch", 1);
    check("[{\"id\":\"a\",\"id\":\"b\"},{\"id\":\"c\"}]", "duplicate_key", 1);
    check("{\"a\":1}", "wrong_type", 1);
    check("[1]", "wrong_type", 1);
    check("3", "wrong_type", 1);
    check("[\"one\"]", "taxonomy_invalid", 1);
    check(&format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "too_deep", 1);
    assert_eq!(read_taxonomy(b"[\"a\",\n\"\xff\"]", "t.json").unwrap_err().line, 2);
    let e = read_taxonomy(b"id,parent\na,\n\nb,a\na,\n", "t.csv").unwrap_err();
    assert_eq!((e.code, e.line), ("taxonomy_invalid", 5));
    assert_eq!(read_taxonomy(b"a,b\n", "t.csv").unwrap_err().code, "missing_column");
    assert_eq!(read_taxonomy(b"id,parent\nx\n", "t.csv").unwrap_err().code, "column_count");
}

#[test]
fn the_shared_taxonomies_read() {
    let Some(data) = super::super::shared_data() else { return };
    for (folder, roots, classes) in [("video-mix", 6, 11), ("text-nlpcc2017", 6, 18)] {
        let path = data.join(folder).join("taxonomy.json");
        let t = read_taxonomy(&std::fs::read(path).unwrap(), "taxonomy.json").unwrap();
        assert_eq!((t.roots().len(), t.n_classes(), t.depth()), (roots, classes, 2), "{folder}");
        assert!(t.class_ids().all(|c| t.node(c).unwrap().names.contains_key("zh-CN")));
    }
}
