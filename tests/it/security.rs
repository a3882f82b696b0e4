//! `docs/security.md` promises tests by name: each is there.

use std::path::Path;

#[test]
fn every_test_that_the_table_of_advisories_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut named = 0;
    for name in text.split('`').skip(1).step_by(2).filter(|n| n.contains("::")) {
        let (module, test) = name.split_once("::").unwrap();
        let file = root.join("tests/it").join(module).with_extension("rs");
        let code = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{name}: {e}"));
        let found = code.split("#[test]").chain(code.split("#[tokio::test]")).skip(1).any(|part| {
            let head = part.lines().map(str::trim).find(|l| l.contains("fn ")).unwrap_or_default();
            head.contains(&format!("fn {test}("))
        });
        assert!(found, "{name} is no test");
        named += 1;
    }
    assert!(named > 20, "{named}: the table is not where this test looks");
}
