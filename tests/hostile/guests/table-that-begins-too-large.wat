;; kind: target
;; expect: plugin-memory
(table $table 100001 funcref)
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
