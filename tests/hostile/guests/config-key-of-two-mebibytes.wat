;; kind: resolver
;; expect: plugin-output
;; pages: 40
(func $run (export "run") (param i32) (result i32)
    (call $get (i32.const 131072) (i32.const 2097152) (i32.const 32))
    (i32.const 16))
