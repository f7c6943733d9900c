//! The house keeps its order: what a file imports lies on a lower floor, and what is dangerous stays in its room.
//!
//! Reads the sources as text, without comments and strings, and without what only tests are made of.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and their floors. A room imports only rooms of lower floors, and itself. Floors compare as text: `3b` lies
/// between `3` and `4`.
const FLOORS: &[(&str, &str)] = &[
    ("primitive", "0"),
    ("procfs", "0a"),
    ("rng", "0a"),
    ("chaos", "0b"),
    ("lock", "0c"),
    ("asymmetric", "0c"),
    ("arch", "1"),
    ("census", "1"),
    ("stack", "1"),
    ("tls", "1b"),
    ("fiber", "2"),
    ("control", "3"),
    ("current", "3b"),
    ("interrupt", "3c"),
    ("overflow", "3c"),
    ("blocking", "3c"),
    ("awaited", "4"),
    ("wait", "4"),
    ("park", "4b"),
    ("join", "4c"),
    ("report", "5"),
    ("timer", "5"),
    ("netpoll", "5"),
    ("scheduler", "6"),
    ("sim", "6"),
    ("runtime", "7"),
    ("future", "8"),
    ("time", "8"),
    ("chan", "8b"),
    ("sync", "8b"),
    ("net", "8b"),
    ("fs", "8b"),
    ("cancel", "8c"),
    ("scope", "8d"),
    ("task", "8e"),
];

struct Source {
    path: PathBuf,
    /// The file or folder of `src` that it belongs to.
    room: String,
    /// Without comments and strings, up to the tests at its end.
    code: String,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    files
        .into_iter()
        .filter(|path| !matches!(path.file_stem().and_then(|stem| stem.to_str()), Some("tests" | "models")))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let code = without_tests(&without_comments_and_strings(&text)).to_owned();
            let path = path.strip_prefix(&root).expect("below src").to_owned();
            let room = path.iter().next().expect("a name").to_str().expect("ASCII").trim_end_matches(".rs").to_owned();
            Source { path, room, code }
        })
        .collect()
}

/// What is compiled for tests alone stands at a file's end, in a block.
fn without_tests(code: &str) -> &str {
    let starts = ["\n#[cfg(test)]", "\n#[cfg(all(test"].map(|mark| {
        code.match_indices(mark)
            .find(|(at, _)| {
                code[at + 1..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
            })
            .map_or(code.len(), |(at, _)| at)
    });
    &code[..starts[0].min(starts[1])]
}

fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r#\"") {
            rest.find("\"#").map_or(rest.len(), |at| at + 2)
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            });
            end.map_or(rest.len(), |at| at + 2)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[skip..];
    }
    code
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The places of `word` in `code` where it isn't a part of a longer one.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].chars().next_back().is_some_and(is_word)
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// The rooms that `crate::` paths lead to; `use crate::{a::b, c}` leads to two.
fn imports(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for at in words(code, "crate") {
        // `$crate` stands in a macro, for its user's file.
        let Some(path) = code[at..].strip_prefix("crate::") else { continue };
        if code[..at].ends_with('$') {
            continue;
        }
        let name = |path: &str| path.trim_start().chars().take_while(|&c| is_word(c)).collect::<String>();
        let Some(group) = path.strip_prefix('{') else {
            rooms.push(name(path));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ if start && is_word(c) => {
                    rooms.push(name(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn floor(room: &str) -> Option<&'static str> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for Source { path, room, code } in sources().iter().filter(|source| source.room != "lib") {
        let Some(own) = floor(room) else {
            wrong.push(format!("{}: the room `{room}` has no floor; give it one in tests/layers.rs", path.display()));
            continue;
        };
        for other in imports(code).iter().filter(|other| *other != room) {
            match floor(other) {
                Some(floor) if floor < own => {}
                Some(floor) => wrong.push(format!("{} (floor {own}) imports {other} (floor {floor})", path.display())),
                // A macro that is exported at the root.
                None if is_macro(other) => {}
                None => wrong.push(format!("{} imports `{other}`, which has no floor", path.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn is_macro(name: &str) -> bool {
    sources().iter().any(|source| source.code.contains(&format!("macro_rules! {name} ")))
}

#[test]
fn a_glob_of_the_crate_hides_no_import() {
    for source in sources() {
        assert!(!source.code.contains("crate::*"), "{}", source.path.display());
    }
}

/// `deny(unsafe_code)` does the work; this sees to it that the exceptions are whole files, named where they are declared.
#[test]
fn unsafe_is_allowed_on_mod_lines_alone() {
    for Source { path, code, .. } in sources() {
        for (at, found) in code.match_indices("allow(unsafe_code)") {
            let declared = code[at + found.len()..].lines().skip(1).find(|line| !line.trim_start().starts_with("#["));
            let declared = declared.unwrap_or("").trim();
            let is_mod = declared.split(' ').any(|word| word == "mod") && declared.ends_with(';');
            assert!(is_mod, "{} allows unsafe code for something else than a file: `{declared}`", path.display());
        }
    }
}

/// Each place where `pattern` stands, but for the files that may.
fn only_in(pattern: &str, may: impl Fn(&Source) -> bool) {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| !may(source) && words(&source.code, pattern).next().is_some())
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "`{pattern}` stands in {}", wrong.join(", "));
}

#[test]
fn assembly_stands_in_arch_alone() {
    for pattern in ["asm", "naked_asm", "global_asm"] {
        only_in(pattern, |source| source.room == "arch");
    }
}

#[test]
fn atomics_and_loom_are_named_in_primitive_alone() {
    only_in("atomic", |source| source.room == "primitive");
    for source in sources().iter().filter(|source| source.room != "primitive") {
        assert!(!source.code.contains("loom::"), "{}", source.path.display());
    }
}

#[test]
fn the_poller_is_the_netpollers() {
    only_in("Poll", |source| source.room == "netpoll" || source.code.contains("use std::task::"));
    only_in("mio", |source| matches!(source.room.as_str(), "netpoll" | "net"));
}

#[test]
fn the_library_has_one_thread_local() {
    let homes: Vec<PathBuf> = sources()
        .into_iter()
        .flat_map(|source| vec![source.path; words(&source.code, "thread_local").count()])
        .collect();
    // The first is there only under `--cfg throng_chaos`; the last is used once a thread, for what that does to others.
    assert_eq!(homes, [Path::new("chaos.rs"), Path::new("current.rs"), Path::new("tls/mod.rs")]);
}

#[test]
fn the_reader_of_sources_reads_right() {
    let text =
        "use crate::{a::{b, c}, d};\n// crate::e\nlet s = \"crate::f \\\" unsafe\"; crate::g::h(); $crate::i();\n";
    let code = without_comments_and_strings(text);
    assert_eq!(imports(&code), ["a", "d", "g"]);
    assert_eq!(words("unsafe unsafely", "unsafe").count(), 1);
    assert_eq!(
        without_tests("a\n#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nmod tests {\nc\n}\n").trim_end(),
        "a\n#[cfg(test)]\nmod tests;\nb"
    );
}
