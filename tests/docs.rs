//! What docs/guarantees.md names is there: each promise has its test, under that name.

use std::fs;
use std::path::Path;

/// Whether `text` is of a file with a test of that name. One without a harness has a list of cases, with their names.
fn has_test(text: &str, name: &str) -> bool {
    let mut tests = text.split("#[test]\n").skip(1);
    let after_fn = |rest: &str| rest.trim_start().split_once("fn ").is_some_and(|(_, rest)| starts_with(rest, name));
    tests.any(after_fn) || text.contains(&format!("(\"{}\", End::", name.replace('_', " ")))
}

fn starts_with(code: &str, name: &str) -> bool {
    code.strip_prefix(name).is_some_and(|rest| rest.starts_with("()"))
}

/// What is wrong with a name of the last column: `file::test`, or a file, or a command.
fn complaint(name: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some((file, test)) = name.split_once("::") else {
        let file = name.split(' ').next().expect("a word");
        return (!root.join(file).exists()).then(|| format!("there is no file `{file}`"));
    };
    let file = if file.contains('/') { file.to_owned() } else { format!("tests/{file}.rs") };
    match fs::read_to_string(root.join(&file)) {
        Ok(text) => (!has_test(&text, test)).then(|| format!("{file} has no test `{test}`")),
        Err(error) => Some(format!("{file}: {error}")),
    }
}

#[test]
fn each_promise_has_its_test() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guarantees.md")).expect("a page");
    let mut wrong = Vec::new();
    let mut promises = 0;
    // But for the rows that are a table's head.
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| | |")) {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, promised, promise, shown_by, _] = cells[..] else { panic!("not three columns: {line}") };
        // Each second piece is between backticks.
        let names: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        if promised.trim() == "yes" {
            promises += 1;
            if !names.iter().any(|name| name.contains("::")) {
                wrong.push(format!("no test is named for:{promise}"));
            }
        }
        wrong.extend(names.into_iter().filter_map(complaint));
    }
    assert!(promises > 0, "the page has another form");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_the_page_reads_right() {
    let text = "#[test]\nfn a() {}\nfn b() {}\n#[test]\n#[cfg(x)]\nfn c() {}\n(\"d e\", End::Returns, d_e)";
    let found = ["a", "b", "c", "d_e", "d"].map(|name| has_test(text, name));
    assert_eq!(found, [true, false, true, true, false]);
}
