;; The same, larger than an answer may be.
;; kind: target
;; expect: plugin-output
;; pages: 400
(data (i32.const 16) "\00\00\00\00\00\00\01\00\00\00\10\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
