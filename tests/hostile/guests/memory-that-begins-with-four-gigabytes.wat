;; kind: target
;; expect: plugin-memory
;; pages: 65536
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
