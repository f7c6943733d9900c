//! The readers-writer lock, as `lock_api` shows it.

use super::RawRwLock;

/// A lock that lets many read, or one write, what it guards.
///
/// Modelled on `parking_lot`'s, of which it has all methods but the recursive reads, and used like [`std::sync::RwLock`]. What
/// differs:
///
/// * It works in tasks and in plain threads, in any mixture. A task that waits lets its worker run others.
/// * It isn't poisoned by a panic. Guards are [`Send`].
/// * It is fair: readers and writers that compete take turns. A writer that waits keeps new readers out; when a writer
///   leaves, all readers that came by then get in.
///
/// Reading again in a task or thread that reads may wait for ever, if a writer waits in between.
///
/// # Cancellation
/// A task that is cancelled while it waits for the lock unwinds. To lock again for a guard that lives on (after
/// `unlocked` or `bump`) and to [`upgrade`](lock_api::RwLockUpgradableReadGuard::upgrade) isn't ended by cancellation, nor is a
/// lock that is called through a function pointer.
///
/// # Examples
/// ```
/// use throng::sync::{RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};
///
/// let words = RwLock::new(vec!["first"]);
/// {
///     let (one, another) = (words.read(), words.read());
///     assert_eq!(one.len(), another.len());
/// }
/// let reading = words.upgradable_read();
/// if !reading.contains(&"second") {
///     let mut writing = RwLockUpgradableReadGuard::upgrade(reading);
///     writing.push("second");
///     let reading = RwLockWriteGuard::downgrade(writing);
///     assert_eq!(reading.len(), 2);
/// }
/// ```
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// Shared access to what an [`RwLock`] guards.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// Exclusive access to what an [`RwLock`] guards.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// Shared access to what an [`RwLock`] guards, by the one reader at a time that may become a writer.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;

/// Shared access to a part of what an [`RwLock`] guards.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// Exclusive access to a part of what an [`RwLock`] guards.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

/// An [`RwLockReadGuard`] that keeps the lock alive itself.
pub type ArcRwLockReadGuard<T> = lock_api::ArcRwLockReadGuard<RawRwLock, T>;

/// An [`RwLockWriteGuard`] that keeps the lock alive itself.
pub type ArcRwLockWriteGuard<T> = lock_api::ArcRwLockWriteGuard<RawRwLock, T>;

/// An [`RwLockUpgradableReadGuard`] that keeps the lock alive itself.
pub type ArcRwLockUpgradableReadGuard<T> = lock_api::ArcRwLockUpgradableReadGuard<RawRwLock, T>;
