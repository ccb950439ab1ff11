;; One byte more than an answer may have.
;; kind: resolver
;; expect: plugin-output
;; pages: 40
(data (i32.const 16) "\00\00\00\00\00\00\02\00\01\00\10\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
