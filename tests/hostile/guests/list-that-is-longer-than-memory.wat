;; A million steps, somewhere.
;; kind: target
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\00\00\00\00\00\10\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
