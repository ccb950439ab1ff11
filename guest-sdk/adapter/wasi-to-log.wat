;; WASI's first preview for a plugin that has none: what is written to stdout
;; and stderr goes to the plugin's log, and everything else is empty or refused.
;;
;; For languages whose libraries can't do without (Go, and C's stdio). `symctl
;; plugin build` links it; a component then imports `log` and nothing of WASI.
;;
;; Time begins in 1970 and goes on by a microsecond for each look at it; random
;; numbers are the same in each call. So the same request has the same answer.
(module
  (import "env" "memory" (memory 0))
  (import "sym:postgres/log@0.1.0" "write"
    (func $log (param $level i32) (param $text i32) (param $bytes i32)))
  (import "__main_module__" "cabi_realloc"
    (func $realloc (param i32 i32 i32 i32) (result i32)))

  ;; Nanoseconds since 1970.
  (global $now (mut i64) (i64.const 0))
  ;; Any number but 0.
  (global $random (mut i64) (i64.const 0x9e3779b97f4a7c15))

  ;; One line, without the line end that printing functions put there.
  (func $write_line (param $fd i32) (param $text i32) (param $bytes i32)
    (block $has_end
      (br_if $has_end (i32.eqz (local.get $bytes)))
      (br_if $has_end
        (i32.ne
          (i32.load8_u (i32.sub (i32.add (local.get $text) (local.get $bytes)) (i32.const 1)))
          (i32.const 10)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1))))
    (if (local.get $bytes)
      (then
        (call $log
          ;; stdout is `info`, stderr `error`.
          (select (i32.const 1) (i32.const 3) (i32.eq (local.get $fd) (i32.const 1)))
          (local.get $text) (local.get $bytes)))))

  (func (export "fd_write")
    (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $index i32) (local $part i32) (local $total i32) (local $joined i32) (local $at i32)
    (if (i32.gt_u (i32.sub (local.get $fd) (i32.const 1)) (i32.const 1))
      (then (return (i32.const 8))))
    (loop $sum
      (if (i32.lt_u (local.get $index) (local.get $count))
        (then
          (local.set $part
            (i32.add (local.get $parts) (i32.shl (local.get $index) (i32.const 3))))
          (local.set $total
            (i32.add (local.get $total) (i32.load offset=4 (local.get $part))))
          (local.set $index (i32.add (local.get $index) (i32.const 1)))
          (br $sum))))
    (if (i32.eq (local.get $count) (i32.const 1))
      (then
        (call $write_line
          (local.get $fd) (i32.load (local.get $parts)) (local.get $total)))
      (else
        ;; C's stdio hands over what it kept, and what is new: one line of text.
        (local.set $joined
          (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
            (i32.add (local.get $total) (i32.const 1))))
        (local.set $at (local.get $joined))
        (local.set $index (i32.const 0))
        (loop $join
          (if (i32.lt_u (local.get $index) (local.get $count))
            (then
              (local.set $part
                (i32.add (local.get $parts) (i32.shl (local.get $index) (i32.const 3))))
              (memory.copy
                (local.get $at)
                (i32.load (local.get $part))
                (i32.load offset=4 (local.get $part)))
              (local.set $at
                (i32.add (local.get $at) (i32.load offset=4 (local.get $part))))
              (local.set $index (i32.add (local.get $index) (i32.const 1)))
              (br $join))))
        (call $write_line (local.get $fd) (local.get $joined) (local.get $total))))
    (i32.store (local.get $written) (local.get $total))
    (i32.const 0))

  ;; A terminal, for the three that are always open: C then writes line by line.
  (func (export "fd_fdstat_get") (param $fd i32) (param $stat i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2))
      (then (return (i32.const 8))))
    (memory.fill (local.get $stat) (i32.const 0) (i32.const 24))
    (i32.store8 (local.get $stat) (i32.const 2))
    (i32.const 0))

  (func (export "clock_time_get") (param i32 i64) (param $time i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store (local.get $time) (global.get $now))
    (i32.const 0))
  (func (export "clock_res_get") (param i32) (param $resolution i32) (result i32)
    (i64.store (local.get $resolution) (i64.const 1000))
    (i32.const 0))

  ;; Waiting takes no time here, and the clock says that it did. The time that is
  ;; waited for is in the first subscription: at 24, where the byte at 8 is 0.
  (func (export "poll_oneoff")
    (param $subscriptions i32) (param $events i32) (param $count i32) (param $happened i32)
    (result i32)
    (if (local.get $count)
      (then
        (if (i32.eqz (i32.load8_u offset=8 (local.get $subscriptions)))
          (then
            (if (i32.eqz (i32.load16_u offset=40 (local.get $subscriptions)))
              (then
                (global.set $now
                  (i64.add (global.get $now) (i64.load offset=24 (local.get $subscriptions)))))
              (else
                (global.set $now (i64.load offset=24 (local.get $subscriptions)))))))))
    (i32.store (local.get $happened) (i32.const 0))
    (i32.const 0))

  ;; Marsaglia's xorshift64: it seeds hash tables, and is no secret.
  (func (export "random_get") (param $at i32) (param $count i32) (result i32)
    (local $number i64)
    (local.set $number (global.get $random))
    (loop $next
      (if (local.get $count)
        (then
          (local.set $number
            (i64.xor (local.get $number) (i64.shl (local.get $number) (i64.const 13))))
          (local.set $number
            (i64.xor (local.get $number) (i64.shr_u (local.get $number) (i64.const 7))))
          (local.set $number
            (i64.xor (local.get $number) (i64.shl (local.get $number) (i64.const 17))))
          (i64.store8 (local.get $at) (local.get $number))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next))))
    (global.set $random (local.get $number))
    (i32.const 0))

  ;; No arguments and no environment.
  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable)

  ;; No files: 8 is `badf`, and ends the search for directories that were opened
  ;; for us; 76 is `notcapable`.
  (func $bad1 (param i32) (result i32) (i32.const 8))
  (func $bad2 (param i32 i32) (result i32) (i32.const 8))
  (func $bad3 (param i32 i32 i32) (result i32) (i32.const 8))
  (func $bad4 (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "fd_close" (func $bad1))
  (export "fd_datasync" (func $bad1))
  (export "fd_sync" (func $bad1))
  (export "fd_fdstat_set_flags" (func $bad2))
  (export "fd_filestat_get" (func $bad2))
  (export "fd_prestat_get" (func $bad2))
  (export "fd_renumber" (func $bad2))
  (export "fd_tell" (func $bad2))
  (export "sock_shutdown" (func $bad2))
  (export "fd_prestat_dir_name" (func $bad3))
  (export "sock_accept" (func $bad3))
  (export "fd_read" (func $bad4))
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func $no3 (param i32 i32 i32) (result i32) (i32.const 76))
  (export "path_create_directory" (func $no3))
  (export "path_remove_directory" (func $no3))
  (export "path_unlink_file" (func $no3))
  (func $no5 (param i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (export "path_filestat_get" (func $no5))
  (export "path_symlink" (func $no5))
  (func $no6 (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (export "path_readlink" (func $no6))
  (export "path_rename" (func $no6))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 76))
  (func (export "path_filestat_set_times")
    (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 76))
  (func (export "path_open")
    (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 76))
)
