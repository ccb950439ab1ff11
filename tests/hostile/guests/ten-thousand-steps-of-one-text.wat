;; Each step is the same kilobyte: small in the guest, and large in the host.
;; kind: target
;; expect: plugin-output
;; pages: 10
(data (i32.const 16) "\00\00\00\00\e0\93\04\00\10\27\00\00")
(func $run (export "run") (param i32) (result i32)
    (local $at i32)
    (local.set $at (i32.const 300000))
    (loop $again
        (i32.store offset=4 (local.get $at) (i32.const 1024))
        (i32.store offset=8 (local.get $at) (i32.const 1024))
        (local.set $at (i32.add (local.get $at) (i32.const 20)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const 500000))))
    (i32.const 16))
