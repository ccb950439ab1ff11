;; kind: target
;; expect: plugin-trapped
(type $other (func (param i64) (result i64)))
(table 1 funcref)
(elem (i32.const 0) $run)
(func $run (export "run") (param i32) (result i32)
    (drop (call_indirect (type $other) (i64.const 1) (i32.const 0)))
    unreachable)
