;; kind: resolver
;; expect: plugin-trapped
(func $run (export "run") (param i32) (result i32)
    (call $log (i32.const 4) (i32.const 0) (i32.const 1))
    (i32.const 16))
