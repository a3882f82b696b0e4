use super::*;
use std::fs;

fn read(files: &[(&str, &str)]) -> Result<Input, String> {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = std::collections::BTreeMap::new();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        paths.insert(name.split('.').next().unwrap(), path);
    }
    let features: Vec<PathBuf> = paths.get("f").cloned().into_iter().collect();
    let path = |name: &str| paths.get(name).map(PathBuf::as_path);
    Input::read(&Files {
        labels: path("y").unwrap(),
        pred_probs: path("p"),
        features: &features,
        taxonomy: path("t"),
        ids: path("ids"),
    })
    .map_err(|e| e.to_string())
}

#[test]
fn tables_that_fit() {
    let p = "0.5,0.5\n0.9,0.1\n0.25,0.75\n";
    let input = read(&[("y.csv", "id,label\na,0\nb,0\nc,1\n"), ("p.csv", p)]).unwrap();
    assert_eq!((input.id(2), &input.labels), ("c".to_owned(), &vec![0, 0, 1]));
    assert!(input.probabilities.unwrap().is_double() && input.numbered);
    let input = read(&[("y.csv", "b\na\nb\n"), ("p.csv", &format!("a,b\n{p}")), ("ids.txt", "x\ny\nz\n")]);
    let input = input.unwrap();
    assert_eq!((input.id(2), &input.labels), ("z".to_owned(), &vec![1, 0, 1]));
    let tree = ("t.json", "{\"r\": [\"a\", \"b\"]}");
    let input = read(&[("y.csv", "b\na\nb\n"), ("p.csv", &format!("b,a\n{p}")), tree]).unwrap();
    let first = Rows::<f64>::block(input.probabilities.as_ref().unwrap(), 2, 1, &mut Vec::new()).to_vec();
    assert_eq!((input.labels, first), (vec![1, 0, 1], vec![0.75, 0.25]));
    let input = read(&[("y.csv", "0\n3\n"), ("f.csv", "1,2\n3,4\n")]).unwrap();
    assert_eq!((&input.missing_classes, input.features[0].0.as_str()), (&vec![1, 2], "f"));
    assert_eq!(input.id(1), "1");
}

#[test]
fn whole_numbers_are_labels_however_they_are_written() {
    let p = "0.5,0.5\n0.9,0.1\n";
    assert_eq!(read(&[("y.csv", "1.0\n0.0\n"), ("p.csv", p)]).unwrap().labels, [1, 0]);
    let error = read(&[("y.csv", "1.0\n0.5\n"), ("p.csv", p)]).unwrap_err();
    assert!(error.contains("y.csv: row 1 is 0.5"), "{error}");
}

#[test]
fn tables_that_do_not_fit_are_named() {
    let p = "0.5,0.5\n0.9,0.1\n";
    for (files, needles) in [
        (vec![("y.csv", "0\n1\n0\n"), ("p.csv", p)], vec!["p.csv has 2 rows", "y.csv has 3"]),
        (vec![("y.csv", "0\n2\n"), ("p.csv", p)], vec!["y.csv: row 1 is 2", "only 2 classes"]),
        (vec![("y.csv", "0\n-1\n"), ("p.csv", p)], vec!["y.csv: row 1 is -1"]),
        (vec![("y.csv", "a\nb\n"), ("p.csv", p)], vec!["y.csv", "--taxonomy"]),
        (vec![("y.csv", "0\n0\n"), ("p.csv", "1\n1\n")], vec!["p.csv: there is 1 class"]),
        (vec![("y.csv", "0\n0\n"), ("f.csv", "1\n1\n")], vec!["y.csv", "only one class"]),
        (vec![("y.csv", "0\n1\n"), ("f.csv", "1,NaN\n1,inf\n")], vec!["f.csv: row 0, column 1 is NaN"]),
        (vec![("y.csv", "0\n1\n"), ("f.csv", "1,a\n1,2\n")], vec!["f.csv", "row 0 is \"a\""]),
        (vec![("y.csv", "0\n1\n"), ("p.csv", p), ("ids.txt", "x\n")], vec!["ids.txt has 1 ids"]),
        (vec![("y.csv", "u,v\n0,1\n"), ("p.csv", p)], vec!["no column is called given_label"]),
        (vec![("y.csv", ""), ("p.csv", p)], vec!["y.csv: there are no rows"]),
        (
            vec![("y.csv", "id,y\na,0\nb,1\n"), ("p.csv", "id,u,v\na,0.5,0.5\nc,0.9,0.1\n")],
            vec!["p.csv: row 1 is \"c\"", "y.csv it is \"b\""],
        ),
        (
            vec![("y.csv", "0\n999\n"), ("f.csv", "1,2\n3,4\n")],
            vec!["y.csv: row 1 is 999", "1000 classes of 2"],
        ),
        (
            vec![
                ("y.csv", "0\n1\n"),
                ("p.csv", "b,x\n0.5,0.5\n0.9,0.1\n"),
                ("t.json", "{\"a\": [\"b\", \"c\"]}"),
            ],
            vec!["p.csv", "\"x\" is no class"],
        ),
        (
            vec![("y.csv", "id,label,n\na,3.0,1\nb,,2\n"), ("p.csv", p)],
            vec!["y.csv: row 1 is empty", "column \"label\""],
        ),
        (
            vec![("y.csv", "id,label,n\na,cat,1\nb,,2\n"), ("p.csv", p)],
            vec!["y.csv: row 1 is empty", "column \"label\""],
        ),
        (vec![("y.csv", "id,label\na,0\na,1\n"), ("p.csv", p)], vec!["y.csv: rows 0 and 1", "id \"a\""]),
        (
            vec![("y.csv", "0\n1\n"), ("p.csv", p), ("ids.txt", "x\nx\n")],
            vec!["ids.txt: rows 0 and 1", "id \"x\""],
        ),
        (
            vec![("y.csv", "id,label\na,0\n,1\n"), ("p.csv", p)],
            vec!["y.csv", "column \"id\": row 1 is empty"],
        ),
        (vec![("y.json", "0"), ("p.csv", p)], vec!["must end in .npy"]),
        (
            vec![("y.csv", "0\n1\n"), ("p.csv", p), ("t.json", "{\"a\": [\"b\", \"c\", \"d\"]}")],
            vec!["2 columns", "3 classes"],
        ),
    ] {
        let error = read(&files).unwrap_err();
        assert!(needles.iter().all(|n| error.contains(n)), "{error} lacks one of {needles:?}");
    }
}
