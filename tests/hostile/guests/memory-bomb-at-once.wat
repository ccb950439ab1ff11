;; kind: resolver
;; expect: plugin-memory
(func $run (export "run") (param i32) (result i32)
    (drop (memory.grow (i32.const 65534)))
    unreachable)
