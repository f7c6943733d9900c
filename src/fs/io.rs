//! Reading, writing and seeking: each call of the kernel a section of its own.

use super::File;
use crate::blocking::briefly;
use std::io::{IoSlice, IoSliceMut, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

macro_rules! file_io {
    ($($file:ty),*) => {$(
        impl Read for $file {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
                briefly(|| (&self.0).read(buf))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize> {
                briefly(|| (&self.0).read_vectored(bufs))
            }

            // `std` knows how much room the rest of the file needs.
            fn read_to_end(&mut self, buf: &mut Vec<u8>) -> Result<usize> {
                briefly(|| (&self.0).read_to_end(buf))
            }

            fn read_to_string(&mut self, buf: &mut String) -> Result<usize> {
                briefly(|| (&self.0).read_to_string(buf))
            }
        }

        impl Write for $file {
            fn write(&mut self, buf: &[u8]) -> Result<usize> {
                briefly(|| (&self.0).write(buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> Result<usize> {
                briefly(|| (&self.0).write_vectored(bufs))
            }

            /// Does nothing, as `std`'s: what was written is with the kernel. [`File::sync_all`] waits for the disk.
            fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }

        impl Seek for $file {
            fn seek(&mut self, pos: SeekFrom) -> Result<u64> {
                briefly(|| (&self.0).seek(pos))
            }
        }
    )*};
}

file_io!(File, &File);

/// ```
/// use std::os::unix::fs::FileExt;
/// use throng::fs::{self, File};
///
/// # let path = std::env::temp_dir().join(format!("throng-doc-at-{}", std::process::id()));
/// fs::write(&path, "0123456789")?;
/// let file = File::open(&path)?;
/// throng::scope(|s| {
///     for digit in 0..10 {
///         let file = &file;
///         s.spawn(move || {
///             let mut byte = [0];
///             file.read_exact_at(&mut byte, digit).unwrap();
///             assert_eq!(u64::from(byte[0] - b'0'), digit);
///         });
///     }
/// });
/// # fs::remove_file(&path)?;
/// # std::io::Result::Ok(())
/// ```
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        briefly(|| self.0.read_at(buf, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        briefly(|| self.0.write_at(buf, offset))
    }
}
