;; Frames of a kilobyte that are all alive.
;; kind: target
;; expect: plugin-stack
(func $deeper (param i64) (result i64)
    (local i64 i64 i64 i64 i64 i64 i64 i64)
    (local.set 1 (i64.mul (local.get 0) (i64.const 3))) (local.set 2 (i64.mul (local.get 1) (i64.const 5)))
    (local.set 3 (i64.mul (local.get 2) (i64.const 7))) (local.set 4 (i64.mul (local.get 3) (i64.const 9)))
    (i64.add (call $deeper (i64.add (local.get 4) (i64.const 1)))
        (i64.add (i64.add (local.get 1) (local.get 2)) (i64.add (local.get 3) (local.get 4)))))
(func $run (export "run") (param i32) (result i32)
    (i32.wrap_i64 (call $deeper (i64.const 1))))
