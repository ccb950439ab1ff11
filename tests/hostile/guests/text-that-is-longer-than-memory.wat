;; A name of two gigabytes.
;; kind: resolver
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\00\00\00\ff\ff\ff\7f")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
