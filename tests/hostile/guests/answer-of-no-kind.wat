;; Neither an answer nor a failure.
;; kind: resolver
;; expect: plugin-trapped
(data (i32.const 16) "\02\00\00\00\00\00\00\00\00\00\00\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
