;; kind: resolver
;; expect: plugin-stack
;; says: too deeply
(func $run (export "run") (param i32) (result i32)
    (call $run (local.get 0)))
