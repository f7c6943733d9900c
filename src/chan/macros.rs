//! `select!` and `select_biased!`.
//!
//! The macro reads one arm after the other: `@arm` its head, `@body` what follows its `=>`. It collects them with a
//! number and a name each, and then writes everything out at once (`@run`), in this shape:
//!
//! ```text
//! match (&channel0, &channel1,) {          // evaluated once; temporaries live until the arm's body has ended
//!     (var0, var1,) => {
//!         let mut places = (place::recv(var0), place::send(var1));
//!         let oper = select(&mut [Arm::recv(var0, &mut places.0, 0), Arm::send(var1, &mut places.1, 1)]);
//!         match oper.index() {
//!             0 => { let pattern = oper.recv(var0); body }
//!             1 => { let pattern = oper.send(var1, message); body }
//!         }
//!     }
//! }
//! ```
//!
//! There is no loop and no closure around a body, so `break`, `continue`, `return` and `?` in it mean what they say; and
//! nothing borrows the channels any more when it begins. A place is where the message of a receive goes; nothing of the
//! user's runs between the choice and the `recv` that takes it from there.

/// Waits for several channel operations, and carries out the one that can be first.
///
/// ```
/// use std::time::Duration;
/// use throng::chan::unbounded;
/// use throng::select;
///
/// let (s1, r1) = unbounded();
/// let (s2, r2) = unbounded();
/// s1.send(10).unwrap();
///
/// select! {
///     recv(r1) -> msg => assert_eq!(msg, Ok(10)),
///     send(s2, 20) -> res => {
///         assert_eq!(res, Ok(()));
///         assert_eq!(r2.recv(), Ok(20));
///     }
///     default(Duration::from_secs(1)) => println!("timed out"),
/// }
/// ```
///
/// Modelled on crossbeam-channel's `select!`, with the same grammar:
///
/// * `recv(receiver) -> pattern => body`: the pattern binds a `Result<T, RecvError>`.
/// * `send(sender, message) -> pattern => body`: the pattern binds a `Result<(), SendError<T>>`.
/// * `default => body` or `default() => body`, at most one: if no operation is ready now.
/// * `default(timeout) => body`: if no operation became ready in time.
///
/// A body is a block, or an expression and a comma. The value of the whole is that of the body; a body may `break`,
/// `continue`, `return` or use `?`.
///
/// An operation is ready if it need not wait, even if that is because the channel is disconnected. If several are ready
/// at once, a random one is taken; [`select_biased!`](crate::select_biased!) takes the first. The other operations have no
/// effect at all. The channel expressions are evaluated once each, in order, and may be references; the message of a `send` is
/// evaluated only if that `send` was chosen.
///
/// An arm can be switched off with [`never`](crate::chan::never); for a list that is only known at run time there is
/// [`Select`](crate::chan::Select).
#[macro_export]
macro_rules! select {
    ($($arms:tt)*) => { $crate::__select!(@begin false $($arms)*) };
}

/// As [`select!`](crate::select!), but of several operations that are ready it takes the one that is written first.
///
/// ```
/// use throng::chan::unbounded;
/// use throng::select_biased;
///
/// let (urgent, r1) = unbounded();
/// let (other, r2) = unbounded();
/// other.send(1).unwrap();
/// urgent.send(2).unwrap();
///
/// select_biased! {
///     recv(r1) -> msg => assert_eq!(msg, Ok(2)),
///     recv(r2) -> _ => unreachable!(),
/// }
/// ```
#[macro_export]
macro_rules! select_biased {
    ($($arms:tt)*) => { $crate::__select!(@begin true $($arms)*) };
}

// `@arm biased [arms so far] [default so far] [names left] tokens...` and
// `@body biased [arms so far] [default so far] [names left] {head} tokens...`
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@begin $biased:tt) => {
        ::core::compile_error!("`select!` needs at least one arm")
    };
    (@begin $biased:tt $($rest:tt)+) => {
        $crate::__select!(
            @arm $biased [] []
            [
                0 a0 1 a1 2 a2 3 a3 4 a4 5 a5 6 a6 7 a7 8 a8 9 a9 10 a10 11 a11 12 a12 13 a13 14 a14 15 a15
                16 a16 17 a17 18 a18 19 a19 20 a20 21 a21 22 a22 23 a23 24 a24 25 a25 26 a26 27 a27 28 a28 29 a29
                30 a30 31 a31
            ]
            $($rest)+
        )
    };

    // The head of an arm.
    (@arm $biased:tt $arms:tt $default:tt $names:tt) => {
        $crate::__select!(@run $biased $arms $default)
    };
    (@arm $biased:tt $arms:tt $default:tt [] $(recv)? $(send)? ($($args:tt)*) $($rest:tt)*) => {
        ::core::compile_error!("too many operations in one `select!`; use `Select`")
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt recv($r:expr $(,)?) -> $res:pat => $($rest:tt)+) => {
        $crate::__select!(@body $biased $arms $default $names {recv ($r) () ($res)} $($rest)+)
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt send($s:expr, $msg:expr $(,)?) -> $res:pat => $($rest:tt)+) => {
        $crate::__select!(@body $biased $arms $default $names {send ($s) ($msg) ($res)} $($rest)+)
    };
    (@arm $biased:tt $arms:tt [] $names:tt default $(())? => $($rest:tt)+) => {
        $crate::__select!(@body $biased $arms [] $names {default} $($rest)+)
    };
    (@arm $biased:tt $arms:tt [] $names:tt default($timeout:expr $(,)?) => $($rest:tt)+) => {
        $crate::__select!(@body $biased $arms [] $names {default ($timeout)} $($rest)+)
    };

    // The body of an arm: a block or an expression and a comma; or a block alone; or an expression at the end.
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt {$($body:tt)*}, $($rest:tt)*) => {
        $crate::__select!(@done $biased $arms $default $names $head {$($body)*} $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt {$($body:tt)*}; $($rest:tt)*) => {
        ::core::compile_error!("`select!` arms are separated by commas, not by semicolons")
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::__select!(@done $biased $arms $default $names $head {$body} $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt {$($body:tt)*} $($rest:tt)*) => {
        $crate::__select!(@done $biased $arms $default $names $head {$($body)*} $($rest)*)
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt $body:expr) => {
        $crate::__select!(@done $biased $arms $default $names $head {$body})
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt $head:tt $body:expr; $($rest:tt)*) => {
        ::core::compile_error!("`select!` arms are separated by commas, not by semicolons")
    };
    (@body $biased:tt $arms:tt $default:tt $names:tt {$kind:ident $($head:tt)*} $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "the body of this `", ::core::stringify!($kind), "` arm needs a comma after it: `", ::core::stringify!($($rest)*), "`"
        ))
    };

    // One arm more.
    (@done $biased:tt $arms:tt [] $names:tt {default $(($timeout:expr))?} $body:tt $($rest:tt)*) => {
        $crate::__select!(@arm $biased $arms [$(($timeout))? $body] $names $($rest)*)
    };
    (@done $biased:tt [$($arms:tt)*] $default:tt [$i:tt $var:ident $($names:tt)*] {$($head:tt)*} $body:tt $($rest:tt)*) => {
        $crate::__select!(@arm $biased [$($arms)* {$($head)* $body $i $var}] $default [$($names)*] $($rest)*)
    };
    (@done $biased:tt $arms:tt $default:tt [] $head:tt $body:tt $($rest:tt)*) => {
        ::core::compile_error!("too many operations in one `select!`; use `Select`")
    };

    // One receive alone needs no select.
    (@run $biased:tt [{recv ($r:expr) () ($res:pat) $body:tt $i:tt $var:ident}] []) => {
        match &$r {
            $var => {
                let $var: &$crate::chan::__select::recv<_> = $var;
                let $res = $var.recv();
                $body
            }
        }
    };
    (@run $biased:tt [{recv ($r:expr) () ($res:pat) $body:tt $i:tt $var:ident}] [$default:tt]) => {
        match &$r {
            $var => {
                let $var: &$crate::chan::__select::recv<_> = $var;
                match $var.try_recv() {
                    ::core::result::Result::Err($crate::chan::TryRecvError::Empty) => $default,
                    res => {
                        let $res = res.map_err(|_| $crate::chan::RecvError);
                        $body
                    }
                }
            }
        }
    };
    (@run $biased:tt [{recv ($r:expr) () ($res:pat) $body:tt $i:tt $var:ident}] [($timeout:expr) $default:tt]) => {
        match &$r {
            $var => {
                let $var: &$crate::chan::__select::recv<_> = $var;
                match $var.recv_timeout($timeout) {
                    ::core::result::Result::Err($crate::chan::RecvTimeoutError::Timeout) => $default,
                    res => {
                        let $res = res.map_err(|_| $crate::chan::RecvError);
                        $body
                    }
                }
            }
        }
    };

    (@run
        $biased:tt
        [$({$kind:ident ($chan:expr) ($($msg:expr)?) ($res:pat) $body:tt $i:tt $var:ident})*]
        [$($default:tt)*]
    ) => {
        match ($(&$chan,)*) {
            ($($var,)*) => {
                // The channel itself, of whatever dereferences to it.
                $(let $var: &$crate::chan::__select::$kind<_> = $var;)*
                let mut _places = ($($crate::chan::__select::place::$kind($var),)*);
                $crate::__select!(
                    @choose $biased oper
                    [$($crate::chan::__select::Arm::$kind($var, &mut _places.$i, $i),)*]
                    [$($default)*]
                    {
                        #[allow(clippy::match_single_binding)]
                        match oper.index() {
                            $($i => {
                                let $res = oper.$kind($var $(, $msg)?);
                                $body
                            })*
                            _ => ::core::unreachable!(),
                        }
                    }
                )
            }
        }
    };
    (@choose $biased:tt $oper:ident $arms:tt [] $complete:tt) => {{
        let $oper = $crate::chan::__select::select(&mut $arms, $biased);
        $complete
    }};
    (@choose $biased:tt $oper:ident $arms:tt [$default:tt] $complete:tt) => {{
        let oper = $crate::chan::__select::try_select(&mut $arms, $biased);
        match oper {
            ::core::result::Result::Err(_) => $default,
            ::core::result::Result::Ok($oper) => $complete,
        }
    }};
    (@choose $biased:tt $oper:ident $arms:tt [($timeout:expr) $default:tt] $complete:tt) => {{
        let oper = $crate::chan::__select::select_timeout(&mut $arms, $timeout, $biased);
        match oper {
            ::core::result::Result::Err(_) => $default,
            ::core::result::Result::Ok($oper) => $complete,
        }
    }};

    // What went wrong.
    (@arm $biased:tt $arms:tt $default:tt $names:tt default $($rest:tt)*) => {
        $crate::__select!(@wrong_default $default $($rest)*)
    };
    (@wrong_default [] $($args:tt)? -> $($rest:tt)*) => {
        ::core::compile_error!("a `default` arm has no result: write `default =>`")
    };
    (@wrong_default [] $($rest:tt)*) => {
        ::core::compile_error!("write `default => body` or `default(timeout) => body`")
    };
    (@wrong_default $default:tt $($rest:tt)*) => {
        ::core::compile_error!("a `select!` can have only one `default` arm")
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt $op:ident ($($args:tt)*) -> $res:pat if $($rest:tt)*) => {
        ::core::compile_error!(
            "a `select!` arm can't have an `if`: let its channel be `never()` while it is not to be taken"
        )
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt recv $($rest:tt)*) => {
        ::core::compile_error!("write `recv(receiver) -> pattern => body`")
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt send $($rest:tt)*) => {
        ::core::compile_error!("write `send(sender, message) -> pattern => body`")
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt $chan:ident . $op:ident ($($args:tt)*) $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "an arm names the operation first: write `recv(receiver) -> pattern => body` or \
             `send(sender, message) -> pattern => body`, not `",
            ::core::stringify!($chan.$op($($args)*)), "`"
        ))
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt $res:pat = $($rest:tt)*) => {
        ::core::compile_error!("the pattern of an arm comes last: write `recv(receiver) -> pattern => body`")
    };
    (@arm $biased:tt $arms:tt $default:tt $names:tt $other:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "expected `recv(receiver) -> pattern => body`, `send(sender, message) -> pattern => body` or \
             `default => body`, found `", ::core::stringify!($other), "`"
        ))
    };
}
