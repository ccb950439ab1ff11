;; kind: resolver
;; expect: plugin-trapped
;; says: too deeply
(func $run (export "run") (param i32) (result i32)
    (call $run (local.get 0)))
