;; kind: target
;; expect: plugin-trapped
(data (i32.const 131070) "abcdef")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
