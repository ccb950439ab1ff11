;; kind: target
;; expect: plugin-stack
;; says: too deeply
(func $run (export "run") (param i32) (result i32)
    (i32.add (i32.const 1) (call $run (local.get 0))))
