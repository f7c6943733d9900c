//! Open files: what `std::fs::File` and `OpenOptions` promise, from a thread and from tasks.

mod common;
#[path = "common/directory.rs"]
mod directory;

use common::on_real_threads;
use directory::Directory;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use throng::fs::{self, File, FileTimes, OpenOptions, Permissions, TryLockError};

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

#[test]
fn opens_makes_and_empties() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        assert_eq!(kind(File::open(&path)), ErrorKind::NotFound);
        assert_eq!(kind(File::create(dir.path("nowhere/file"))), ErrorKind::NotFound);

        let mut new = File::create_new(&path).unwrap();
        new.write_all(b"content").unwrap();
        new.rewind().unwrap();
        assert_eq!(io::read_to_string(&new).unwrap(), "content");
        assert_eq!(kind(File::create_new(&path)), ErrorKind::AlreadyExists);
        assert_eq!(kind(File::open(path.join("below"))), ErrorKind::NotADirectory);

        let mut read_only = File::open(&path).unwrap();
        assert_eq!(read_only.write(b"x").unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(kind(read_only.set_len(3)), ErrorKind::InvalidInput);

        let mut emptied = File::create(&path).unwrap();
        assert_eq!(emptied.metadata().unwrap().len(), 0);
        assert_eq!(emptied.read(&mut [0]).unwrap_err().raw_os_error(), Some(libc::EBADF));

        let directory = File::open(dir.root()).unwrap();
        assert!(directory.metadata().unwrap().is_dir());
        assert_eq!(kind((&directory).read(&mut [0])), ErrorKind::IsADirectory);
        directory.sync_all().unwrap();
    });
}

#[test]
fn options_say_what_for() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        assert_eq!(kind(OpenOptions::new().open(&path)), ErrorKind::InvalidInput);
        assert_eq!(kind(File::options().read(true).create(true).open(&path)), ErrorKind::InvalidInput);
        assert_eq!(kind(File::options().write(true).open(&path)), ErrorKind::NotFound);

        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o640);
        let file = options.open(&path).unwrap();
        // The process's mask may take more away, but gives nothing.
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777 & !0o640, 0);
        assert_eq!(kind(options.clone().open(&path)), ErrorKind::AlreadyExists);
        drop(file);

        fs::write(&path, "0123456789").unwrap();
        File::options().write(true).open(&path).unwrap().write_all(b"ab").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ab23456789");
        let mut appended = File::options().append(true).read(true).open(&path).unwrap();
        appended.write_all(b"cd").unwrap();
        appended.rewind().unwrap();
        assert_eq!(io::read_to_string(appended).unwrap(), "ab23456789cd");
        drop(File::options().write(true).truncate(true).open(&path).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"");

        let flags = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(&path);
        assert_eq!(kind(flags), ErrorKind::NotADirectory);

        let mut options = std::fs::OpenOptions::new();
        options.read(true);
        assert_eq!(OpenOptions::from(options).open(&path).unwrap().metadata().unwrap().len(), 0);
    });
}

#[test]
fn reads_writes_and_seeks() {
    on_real_threads(|| {
        let dir = Directory::new();
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(dir.path("file")).unwrap();
        assert_eq!(file.write(b"first ").unwrap(), 6);
        assert_eq!(file.write_vectored(&[IoSlice::new(b"second "), IoSlice::new(b"third")]).unwrap(), 12);
        file.flush().unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.stream_position().unwrap(), 18);
        assert_eq!(file.seek(SeekFrom::End(-5)).unwrap(), 13);
        assert_eq!(kind(file.seek(SeekFrom::Current(-14))), ErrorKind::InvalidInput);

        let mut text = String::from("> ");
        assert_eq!(file.read_to_string(&mut text).unwrap(), 5);
        assert_eq!(text, "> third");
        assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);

        file.rewind().unwrap();
        let (mut left, mut right) = ([0; 6], [0; 7]);
        let both = &mut [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(file.read_vectored(both).unwrap(), 13);
        assert_eq!((&left, &right), (b"first ", b"second "));

        // Through a shared reference, whose position is the same.
        let mut shared = &file;
        assert_eq!(shared.seek(SeekFrom::Start(6)).unwrap(), 6);
        let mut bytes = Vec::from(*b"> ");
        assert_eq!(shared.read_to_end(&mut bytes).unwrap(), 12);
        assert_eq!(bytes, b"> second third");
        shared.seek_relative(-5).unwrap();
        shared.write_all(b"T").unwrap();
        let mut rest = [0; 4];
        file.read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"hird");
        assert_eq!(kind(file.read_exact(&mut rest)), ErrorKind::UnexpectedEof);

        file.rewind().unwrap();
        file.write_all(&[0xff]).unwrap();
        file.rewind().unwrap();
        assert_eq!(kind(file.read_to_string(&mut text)), ErrorKind::InvalidData);
        assert_eq!(text, "> third");
    });
}

#[test]
fn reads_and_writes_at_offsets() {
    on_real_threads(|| {
        let dir = Directory::new();
        let file = File::create_new(dir.path("file")).unwrap();
        file.write_all_at(b"56789", 5).unwrap();
        assert_eq!(file.write_at(b"01234", 0).unwrap(), 5);
        assert_eq!((&file).stream_position().unwrap(), 0);
        let mut three = [0; 3];
        file.read_exact_at(&mut three, 4).unwrap();
        assert_eq!(&three, b"456");
        assert_eq!(file.read_at(&mut three, 8).unwrap(), 2);
        assert_eq!(file.read_at(&mut three, 10).unwrap(), 0);
        assert_eq!(kind(file.read_exact_at(&mut three, 8)), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn buffers_work_as_ever() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("lines");
        let mut writer = BufWriter::new(File::create(&path).unwrap());
        for i in 0..10_000 {
            writeln!(writer, "{i}").unwrap();
        }
        writer.into_inner().unwrap().sync_all().unwrap();
        let lines = BufReader::new(File::open(&path).unwrap()).lines();
        assert!(lines.map(|line| line.unwrap().parse::<u32>().unwrap()).eq(0..10_000));

        let copied = io::copy(&mut File::open(&path).unwrap(), &mut File::create(dir.path("copy")).unwrap());
        assert_eq!(copied.unwrap(), fs::metadata(&path).unwrap().len());
        assert_eq!(fs::read(dir.path("copy")).unwrap(), fs::read(&path).unwrap());
    });
}

#[test]
fn size_permissions_and_times() {
    on_real_threads(|| {
        let dir = Directory::new();
        let file = File::create(dir.path("file")).unwrap();
        file.set_len(100_000).unwrap();
        assert_eq!(fs::read(dir.path("file")).unwrap(), vec![0; 100_000]);
        file.set_len(5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5);

        file.set_permissions(Permissions::from_mode(0o604)).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o604);

        let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 86_400);
        file.set_times(FileTimes::new().set_accessed(day(1)).set_modified(day(2))).unwrap();
        let times = file.metadata().unwrap();
        assert_eq!((times.accessed().unwrap(), times.modified().unwrap()), (day(1), day(2)));
        file.set_modified(day(3)).unwrap();
        let times = file.metadata().unwrap();
        assert_eq!((times.accessed().unwrap(), times.modified().unwrap()), (day(1), day(3)));
    });
}

#[test]
fn clones_share_the_open_file() {
    on_real_threads(|| {
        let dir = Directory::new();
        let mut file = File::create_new(dir.path("file")).unwrap();
        let mut clone = file.try_clone().unwrap();
        assert_ne!(file.as_raw_fd(), clone.as_raw_fd());
        file.write_all(b"ab").unwrap();
        assert_eq!(clone.stream_position().unwrap(), 2);
        drop(file);
        clone.write_all(b"cd").unwrap();
        assert_eq!(fs::read(dir.path("file")).unwrap(), b"abcd");
    });
}

#[test]
fn locks_exclude_one_another() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        let (one, two) = (File::create(&path).unwrap(), File::open(&path).unwrap());
        one.unlock().unwrap();
        one.lock_shared().unwrap();
        two.try_lock_shared().unwrap();
        assert!(matches!(two.try_lock(), Err(TryLockError::WouldBlock)));
        one.unlock().unwrap();
        two.try_lock().unwrap();
        assert!(matches!(one.try_lock_shared(), Err(TryLockError::WouldBlock)));
        // The clone holds it too.
        let clone = two.try_clone().unwrap();
        drop(two);
        assert!(matches!(one.try_lock(), Err(TryLockError::WouldBlock)));
        drop(clone);
        one.lock().unwrap();
    });
}

#[test]
fn converts_into_and_out_of_std() {
    on_real_threads(|| {
        let dir = Directory::new();
        let path = dir.path("file");
        fs::write(&path, "content").unwrap();

        let file: std::fs::File = File::open(&path).unwrap().into();
        let file = File::from(file);
        assert_eq!(file.as_fd().as_raw_fd(), file.as_raw_fd());
        let number = file.as_raw_fd();
        let fd: OwnedFd = file.into();
        assert_eq!(fd.as_raw_fd(), number);
        let file = File::from(fd);
        assert!(format!("{file:?}").contains("File"), "{file:?}");
        let raw = file.into_raw_fd();
        assert_eq!(raw, number);
        #[expect(unsafe_code, reason = "what is tested")]
        // SAFETY: it was given away in the line above.
        let file = unsafe { File::from_raw_fd(raw) };

        let output = Command::new("cat").stdin(Stdio::from(file)).output().unwrap();
        assert_eq!(output.stdout, b"content");
    });
}

#[test]
fn files_cross_threads() {
    fn is<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    is::<File>();
    is::<OpenOptions>();
    is::<fs::DirBuilder>();
    is::<fs::DirEntry>();
    fn sends<T: Send + Sync>() {}
    sends::<fs::ReadDir>();
}
