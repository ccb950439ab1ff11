;; The same with a table.
;; kind: target
;; expect: plugin-fuel
(table $table 100000 funcref)
(func $run (export "run") (param i32) (result i32)
    (loop $again
        (table.fill $table (i32.const 0) (ref.null func) (i32.const 100000))
        (br $again))
    unreachable)
