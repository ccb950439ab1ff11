;; Half of a pair.
;; kind: resolver
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\01\00\00\03\00\00\00")
(data (i32.const 256) "\ed\a0\80")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
