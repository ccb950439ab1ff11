;; The host is to write its answer outside of the guest's memory.
;; kind: resolver
;; expect: plugin-trapped
(func $run (export "run") (param i32) (result i32)
    (call $get (i32.const 0) (i32.const 1) (i32.const -8))
    (i32.const 16))
