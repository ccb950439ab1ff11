;; kind: target
;; expect: plugin-trapped
;; says: panicked
(func $run (export "run") (param i32) (result i32)
    unreachable)
