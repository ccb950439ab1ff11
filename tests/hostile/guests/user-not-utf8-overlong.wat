;; A NUL in two bytes, as some decoders take it.
;; kind: resolver
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\01\00\00\02\00\00\00")
(data (i32.const 256) "\c0\80")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
