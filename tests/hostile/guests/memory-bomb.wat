;; kind: target
;; expect: plugin-memory
;; says: `memory_bytes` is 67108864
(func $run (export "run") (param i32) (result i32)
    (loop $again
        (drop (memory.grow (i32.const 16)))
        (br $again))
    unreachable)
