;; A name that isn't there.
;; kind: resolver
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\f0\ff\ff\ff\40\00\00\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
