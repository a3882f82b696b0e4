use super::*;

fn read(files: &[(&str, &str)]) -> Result<VoteInput, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = std::collections::BTreeMap::new();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        paths.insert(name.split('.').next().unwrap(), path);
    }
    let path = |name: &str| paths.get(name).map(std::path::PathBuf::as_path);
    let files = VoteFiles {
        labels: path("v").unwrap(),
        pred_probs: path("p"),
        taxonomy: path("t"),
        ids: path("ids"),
    };
    VoteInput::read(&files).map_err(|e| e.to_string())
}

#[test]
fn a_matrix_and_a_list_say_the_same() {
    let wide = read(&[("v.csv", "id,anna,ben,carl\na,0,1,\nb,,,1\nc,1,1,-1\n")]).unwrap();
    assert_eq!((wide.votes.shape(), wide.votes.len()), ((3, 3, 2), 5));
    assert_eq!(wide.annotators, ["anna", "ben", "carl"]);
    assert_eq!(wide.id(2), "c");
    let list = "task,worker,label\na,anna,0\na,ben,1\nb,carl,1\nc,anna,1\nc,ben,1\n";
    let long = read(&[("v.csv", list)]).unwrap();
    assert_eq!(
        (long.votes.shape(), &long.annotators, &long.ids),
        (wide.votes.shape(), &wide.annotators, &wide.ids)
    );
    let named = read(&[("v.csv", "id,anna,ben\na,cat,dog\nb,,dog\n")]).unwrap();
    assert_eq!((named.votes.shape(), named.numbered), ((2, 2, 2), false));
    // rows by number: sample 1 has no label
    let rows = read(&[("v.csv", "item,annotator,label\n2,x,0\n0,x,1\n")]).unwrap();
    assert_eq!((rows.votes.shape(), rows.id(2)), ((3, 1, 2), "2".into()));
    let p = "0.5,0.5\n0.9,0.1\n0.2,0.8\n0.3,0.7\n";
    let more = read(&[("v.csv", "item,annotator,label\n2,x,0\n0,x,1\n"), ("p.csv", p)]).unwrap();
    assert_eq!(more.votes.shape(), (4, 1, 2));
    let by_id = read(&[("v.csv", "item,annotator,label\nu,x,0\nw,y,1\n"), ("ids.txt", "w\nv\nu\n")]).unwrap();
    assert_eq!((by_id.votes.shape(), by_id.id(0)), ((3, 2, 2), "w".into()));
}

#[test]
fn mistakes_are_named() {
    let p = "0.5,0.5\n0.9,0.1\n";
    for (files, needle) in [
        (vec![("v.csv", "item,annotator,label\n0,x,0\n0,x,1\n")], "rows 0 and 1: \"x\" labels \"0\" twice"),
        (vec![("v.csv", "annotator,label\nx,0\n")], "no column is called item"),
        (vec![("v.csv", "item,annotator,label\n0,x,0\n1,x,\n")], "v.csv: row 1 is empty"),
        (vec![("v.csv", "id,a,b\nx,0,1\ny,,2.5\n")], "v.csv: row 1 is 2.5"),
        (vec![("v.csv", "id,a,b\nx,0,1\ny,,7\n"), ("p.csv", p)], "v.csv: row 1 is 7, but there are only 2"),
        (vec![("v.csv", "id,a,b\nx,0,1\n"), ("p.csv", p)], "p.csv has 2 rows"),
        (
            vec![("v.csv", "item,annotator,label\nz,x,0\n"), ("ids.txt", "a\n")],
            "\"z\", which is none of the ids",
        ),
        (vec![("v.csv", "id,a,b\nx,,\ny,,\n")], "there are no labels"),
        (vec![("v.csv", "item,annotator,label\n99999,x,0\n1,x,1\n")], "--ids"),
    ] {
        let error = read(&files).unwrap_err();
        assert!(error.contains(needle), "{error} lacks {needle}");
    }
}
