//! What is done by path: what the functions of `std::fs` promise, from a thread and from tasks.

mod common;
#[path = "common/directory.rs"]
mod directory;

use common::on_real_threads;
use directory::Directory;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, DirEntryExt, MetadataExt, PermissionsExt};
use std::path::Path;
use throng::fs::{self, DirBuilder, Permissions};

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

/// What is said of something that isn't there, by everything that wants it to be.
#[test]
fn what_is_missing_is_not_found() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (missing, other) = (dir.path("missing"), dir.path("other"));
        let errors = [
            kind(fs::canonicalize(&missing)),
            kind(fs::copy(&missing, &other)),
            kind(fs::create_dir(missing.join("below"))),
            kind(fs::hard_link(&missing, &other)),
            kind(fs::metadata(&missing)),
            kind(fs::read(&missing)),
            kind(fs::read_dir(&missing)),
            kind(fs::read_link(&missing)),
            kind(fs::read_to_string(&missing)),
            kind(fs::remove_dir(&missing)),
            kind(fs::remove_dir_all(&missing)),
            kind(fs::remove_file(&missing)),
            kind(fs::rename(&missing, &other)),
            kind(fs::set_permissions(&missing, Permissions::from_mode(0o600))),
            kind(fs::symlink(&other, missing.join("below"))),
            kind(fs::symlink_metadata(&missing)),
            kind(fs::write(missing.join("below"), "content")),
        ];
        assert_eq!(errors, [ErrorKind::NotFound; 17]);
        assert!(!fs::exists(&missing).unwrap());
        assert_eq!(kind(fs::metadata("a\0b")), ErrorKind::InvalidInput);
    });
}

#[test]
fn whole_files_are_read_written_and_copied() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (one, two) = (dir.path("one"), dir.path("two"));
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
        fs::write(&one, &bytes).unwrap();
        assert_eq!(fs::read(&one).unwrap(), bytes);
        assert_eq!(kind(fs::read_to_string(&one)), ErrorKind::InvalidData);
        assert_eq!(kind(fs::read(dir.root())), ErrorKind::IsADirectory);
        assert_eq!(kind(fs::read(one.join("below"))), ErrorKind::NotADirectory);

        fs::set_permissions(&one, Permissions::from_mode(0o640)).unwrap();
        fs::write(&two, "something that was longer, or would have been").unwrap();
        assert_eq!(fs::copy(&one, &two).unwrap(), 300_000);
        assert_eq!(fs::read(&two).unwrap(), bytes);
        assert_eq!(fs::metadata(&two).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(kind(fs::copy(dir.root(), &two)), ErrorKind::InvalidInput);

        fs::write(&one, "shorter").unwrap();
        assert_eq!(fs::read_to_string(&one).unwrap(), "shorter");
        assert_eq!(fs::copy(&one, &one).unwrap(), 0);
        assert_eq!(fs::metadata(&one).unwrap().len(), 0);

        // What the kernel makes up has no size before it is read.
        assert!(fs::read_to_string("/proc/self/status").unwrap().contains("Threads"));
    });
}

#[test]
fn directories_are_made_and_removed() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (one, deep) = (dir.path("one"), dir.path("one/two/three"));
        fs::create_dir(&one).unwrap();
        assert_eq!(kind(fs::create_dir(&one)), ErrorKind::AlreadyExists);
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(kind(fs::remove_dir(&one)), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(&deep).unwrap();

        let file = dir.path("file");
        fs::write(&file, "").unwrap();
        assert_eq!(kind(fs::create_dir_all(&file)), ErrorKind::AlreadyExists);
        assert_eq!(kind(fs::create_dir_all(file.join("below"))), ErrorKind::NotADirectory);
        assert_eq!(kind(fs::remove_dir(&file)), ErrorKind::NotADirectory);
        assert_eq!(kind(fs::remove_dir_all(&file)), ErrorKind::NotADirectory);
        assert_eq!(kind(fs::remove_file(&one)), ErrorKind::IsADirectory);

        // A link in the tree is removed, and not what it leads to.
        fs::symlink(&file, one.join("link")).unwrap();
        fs::remove_dir_all(&one).unwrap();
        assert!(!fs::exists(&one).unwrap());
        assert!(fs::exists(&file).unwrap());
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 0);
    });
}

#[test]
fn builders_make_directories() {
    on_real_threads(|| {
        let dir = Directory::new();
        let deep = dir.path("one/two");
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        assert_eq!(kind(builder.create(&deep)), ErrorKind::NotFound);
        builder.recursive(true).create(&deep).unwrap();
        builder.create(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(kind(builder.recursive(false).create(&deep)), ErrorKind::AlreadyExists);
    });
}

#[test]
fn links_lead_somewhere() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (file, hard, soft) = (dir.path("file"), dir.path("hard"), dir.path("soft"));
        fs::write(&file, "content").unwrap();
        fs::hard_link(&file, &hard).unwrap();
        fs::symlink("file", &soft).unwrap();
        assert_eq!(kind(fs::hard_link(&file, &hard)), ErrorKind::AlreadyExists);
        assert_eq!(kind(fs::symlink(&file, &soft)), ErrorKind::AlreadyExists);
        assert_eq!(fs::metadata(&hard).unwrap().nlink(), 2);
        assert_eq!(fs::metadata(&soft).unwrap().ino(), fs::metadata(&file).unwrap().ino());
        assert!(fs::symlink_metadata(&soft).unwrap().is_symlink());
        assert!(fs::symlink_metadata(&hard).unwrap().is_file());
        assert_eq!(fs::read_link(&soft).unwrap(), Path::new("file"));
        assert_eq!(kind(fs::read_link(&hard)), ErrorKind::InvalidInput);
        assert_eq!(fs::canonicalize(&soft).unwrap(), file);
        assert_eq!(fs::canonicalize(dir.path("./.././").join(dir.root().file_name().unwrap())).unwrap(), dir.root());

        fs::remove_file(&file).unwrap();
        assert!(!fs::exists(&soft).unwrap());
        assert_eq!(kind(fs::canonicalize(&soft)), ErrorKind::NotFound);
        assert_eq!(fs::read(&hard).unwrap(), b"content");

        fs::symlink("round", dir.path("round")).unwrap();
        assert!(fs::exists(dir.path("round")).is_err());
    });
}

#[test]
fn renaming_moves_and_replaces() {
    on_real_threads(|| {
        let dir = Directory::new();
        let (one, two, place) = (dir.path("one"), dir.path("two"), dir.path("place"));
        fs::write(&one, "one").unwrap();
        fs::write(&two, "two").unwrap();
        fs::rename(&one, &two).unwrap();
        assert!(!fs::exists(&one).unwrap());
        assert_eq!(fs::read(&two).unwrap(), b"one");

        fs::create_dir(&place).unwrap();
        assert_eq!(kind(fs::rename(&two, &place)), ErrorKind::IsADirectory);
        fs::rename(&two, place.join("two")).unwrap();
        fs::create_dir(&one).unwrap();
        assert_eq!(kind(fs::rename(&one, &place)), ErrorKind::DirectoryNotEmpty);
    });
}

#[test]
fn permissions_are_set() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        fs::write(&path, "content").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        let permissions = fs::metadata(&path).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, 0o400);
        assert!(permissions.readonly());
        // Who may do everything isn't kept from it, and `std` says whether that is so.
        match (std::fs::OpenOptions::new().append(true).open(&path), fs::File::options().append(true).open(&path)) {
            (Err(_), ours) => assert_eq!(kind(ours), ErrorKind::PermissionDenied),
            (Ok(_), ours) => drop(ours.unwrap()),
        }
    });
}

#[test]
fn entries_are_all_seen_once() {
    on_real_threads(|| {
        // None, one, a batch and its neighbours, several batches.
        for count in [0, 1, 63, 64, 65, 129] {
            let dir = Directory::new();
            let names: BTreeSet<OsString> = (0..count).map(|i| format!("entry-{i}").into()).collect();
            for name in &names {
                fs::write(dir.root().join(name), "").unwrap();
            }
            let mut entries = fs::read_dir(dir.root()).unwrap();
            let mut seen = BTreeSet::new();
            for entry in entries.by_ref() {
                assert!(seen.insert(entry.unwrap().file_name()), "seen twice");
            }
            assert_eq!(seen, names);
            // And the end is the end.
            assert!(entries.next().is_none());
            assert!(entries.next().is_none());
        }
    });
}

#[test]
fn entries_tell_about_themselves() {
    on_real_threads(|| {
        let dir = Directory::new();
        fs::write(dir.path("file"), "content").unwrap();
        fs::create_dir(dir.path("directory")).unwrap();
        fs::symlink("file", dir.path("link")).unwrap();
        let entries = fs::read_dir(dir.root()).unwrap();
        assert_eq!(format!("{entries:?}"), format!("ReadDir({:?})", dir.root()));
        let mut entries: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
        entries.sort_by_key(|entry| entry.file_name());
        let kinds = entries.iter().map(|entry| {
            let kind = entry.file_type().unwrap();
            assert_eq!(kind, entry.metadata().unwrap().file_type());
            assert_eq!(entry.path(), dir.root().join(entry.file_name()));
            assert_eq!(entry.ino(), fs::symlink_metadata(entry.path()).unwrap().ino());
            assert_eq!(format!("{entry:?}"), format!("DirEntry({:?})", entry.path()));
            (kind.is_dir(), kind.is_file(), kind.is_symlink())
        });
        assert!(kinds.eq([(true, false, false), (false, true, false), (false, false, true)]));

        fs::remove_file(dir.path("file")).unwrap();
        assert_eq!(kind(entries[1].metadata()), ErrorKind::NotFound);
        assert_eq!(kind(fs::read_dir(dir.path("link"))), ErrorKind::NotFound);
        fs::write(dir.path("file"), "").unwrap();
        assert_eq!(kind(fs::read_dir(dir.path("file"))), ErrorKind::NotADirectory);
    });
}
