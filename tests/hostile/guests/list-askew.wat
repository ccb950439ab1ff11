;; Steps at an address that none can have.
;; kind: target
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\01\01\00\00\01\00\00\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
