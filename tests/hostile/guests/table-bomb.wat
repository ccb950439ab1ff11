;; kind: target
;; expect: plugin-memory
;; says: too large a table
(table $table 0 funcref)
(func $run (export "run") (param i32) (result i32)
    (loop $again
        (drop (table.grow $table (ref.null func) (i32.const 10000)))
        (br $again))
    unreachable)
