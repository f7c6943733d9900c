//! Counts the words in the files of a directory tree: a task for each file and each directory in it. Each reads as a
//! program with one thread would, and they wait for the disk side by side.
//!
//! ```sh
//! cargo run --release --example word_count [PATH]
//! ```

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use throng::fs;

#[derive(Default)]
struct Count {
    files: usize,
    words: HashMap<String, usize>,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.files += other.files;
        for (word, times) in other.words {
            *self.words.entry(word).or_default() += times;
        }
    }
}

fn main() -> io::Result<()> {
    let path =
        std::env::args_os().nth(1).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), PathBuf::from);
    let start = Instant::now();
    let count = throng::run(|| count(&path))?;
    let took = start.elapsed().as_millis();

    let total: usize = count.words.values().sum();
    println!("{total} words in {} files, {} different ones, in {took} ms", count.files, count.words.len());
    let mut words: Vec<(String, usize)> = count.words.into_iter().collect();
    words.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    for (word, times) in words.iter().take(10) {
        println!("{times:8} {word}");
    }
    Ok(())
}

fn count(path: &Path) -> io::Result<Count> {
    let kind = fs::symlink_metadata(path)?;
    if kind.is_file() {
        return Ok(count_words(&fs::read(path)?));
    }
    let mut count = Count::default();
    if kind.is_dir() {
        let paths = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
        throng::scope(|s| {
            let tasks: Vec<_> = paths.iter().map(|path| s.spawn(|| self::count(path))).collect();
            tasks.into_iter().try_for_each(|task| task.join().expect("no panic").map(|below| count.add(below)))
        })?;
    }
    Ok(count)
}

fn count_words(content: &[u8]) -> Count {
    let mut words = HashMap::new();
    for word in String::from_utf8_lossy(content).split(|c: char| !c.is_alphanumeric() && c != '_') {
        if !word.is_empty() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    Count { files: 1, words }
}
